// Package auth answers two questions for every protocol client: what is the
// password, and how is it proved to the server.
//
// A caller goes through it in this order:
//
//  1. NewPassword makes a source out of the account's configuration. Nothing
//     is read yet.
//  2. When the server has told its mechanisms, under TLS, Choose picks one,
//     asks the source, and returns a sasl.Client (or the name of the
//     protocol's own login command). It refuses before it asks when the line
//     is not safe.
//  3. The protocol client runs the exchange.
//  4. After the server's yes, Finished says whether the mechanism agrees;
//     without it a server that knows nothing can pass SCRAM. After a no,
//     Refusal says what the mechanism learned, and Password.Forget makes the
//     next login ask the source again.
//
// No error, log value or formatted value of this package holds a secret.
package auth
