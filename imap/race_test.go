//go:build race

package imap

// floodOctets is smaller under the race detector, which makes parsing ten times as slow.
const floodOctets = 40 << 20
