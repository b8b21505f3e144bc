package maildir

// Flags are what a reader did with a message, as the Maildir page has them.
type Flags uint8

const (
	Draft Flags = 1 << iota
	Flagged
	Passed // forwarded, or bounced
	Replied
	Seen
)

// Info returns what a name in cur/ ends with: ":2," and the letters in their
// order.
func (f Flags) Info() string {
	info := []byte(":2,")
	for i, letter := range []byte("DFPRS") {
		if f&(1<<i) != 0 {
			info = append(info, letter)
		}
	}
	return string(info)
}
