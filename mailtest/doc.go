// Package mailtest is the other side of every conversation that a test or the
// demo needs: mail servers that keep the rules, the same servers when they
// break them on purpose, a line that is slow or cut, an authority that signs
// certificates, and messages to carry.
//
//   - [NewCA] makes the certificates.
//   - [NewPOP3] serves maildrops over POP3 on a loopback port; a hook on each
//     command turns it into any bad server, the Profile functions into known ones.
//   - [NewIMAP] does the same over IMAP; [StartIMAPMemory] serves it with
//     another's code.
//   - [NewSMTP] takes messages for submission, and keeps them for the test to see.
//   - [Script] plays a transcript of C: and S: lines for any line protocol.
//   - [NewProxy] stands before a server and delays, cuts or freezes the line.
//   - [Embedded], [Generate] and [Corpus] give messages; [Wire] and [Local]
//     say what each looks like on the wire and in a Maildir.
//
// Nothing in it imports another package of this module, so that a fault in the
// code under test cannot hide in the code that judges it. It listens on
// loopback alone.
package mailtest
