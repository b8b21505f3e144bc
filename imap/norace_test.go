//go:build !race

package imap

// floodOctets is how much a server sends that never ends.
const floodOctets = 300 << 20
