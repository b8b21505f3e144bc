// Package daemon gives the work its lifetimes: it opens the root, dials and
// logs in for each account, lets the lines of package fetch run beside each
// other, and reports what became of them. What is done with a message is not
// decided here.
package daemon
