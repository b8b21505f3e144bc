// Package outbox carries message files to a submission server. What is decided
// from the octets alone walks this line, with no state and no file of its own:
//
//	ReadHeader        the header, as spans of the message's own octets
//	Header.SendAt     when the user wants it sent
//	Header.Sender     who sends it, for Route, which names the account
//	Header.Envelope   the reverse-path and the recipients
//	Rewrite           the octets that go out, and the facts the line needs
//
// A header is never parsed and printed again: what the server gets are the
// octets of the file without Bcc, with what is missing put in. Whatever cannot
// be understood for certain is a [Refusal] that the user can read: a guess here
// sends mail to the wrong person.
package outbox
