// Package daemon gives the work its lifetimes: it opens the root, lets the
// lines of package fetch run beside each other over sessions of package remote,
// and reports what became of them. What is done with a message is not decided
// here.
package daemon
