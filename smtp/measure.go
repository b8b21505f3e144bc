package smtp

import "errors"

// Measure is a writer that finds out about a message what MAIL has to say, and
// whether Send would refuse it for its text. The zero value is ready for use.
// Close it when all is written; then its methods speak of the whole message.
type Measure struct {
	text   text
	eight  bool
	failed error
}

// Write takes a piece of the message. An error is a *MailError: a NUL, or a CR
// without LF in the header. It stays the answer.
func (m *Measure) Write(p []byte) (int, error) {
	if m.failed != nil {
		return 0, m.failed
	}
	for i := 0; i < len(p) && !m.eight; i++ {
		m.eight = p[i] >= 0x80
	}
	n, err := m.text.Write(p)
	m.failed = err
	return n, err
}

// Close takes the end of the message. Its error is that of Write.
func (m *Measure) Close() error {
	if m.failed != nil {
		if errors.Is(m.failed, errMeasured) {
			return nil
		}
		return m.failed
	}
	if m.failed = m.text.finish(); m.failed != nil {
		return m.failed
	}
	m.failed = errMeasured
	return nil
}

var errMeasured = errors.New("measure message: it has ended")

// Size is Mail.Size: the octets of the message with its lines ended in CRLF, and
// without the dots that the transport adds (RFC 1870 section 6).
func (m *Measure) Size() int64 { return m.text.octets }

// EightBit is Mail.EightBit.
func (m *Measure) EightBit() bool { return m.eight }

// Longest is the longest line without its end, in octets. More than 998 (RFC 5321
// section 4.5.3.1.6) are sent as they are, and may be refused, or folded on the way.
func (m *Measure) Longest() int { return m.text.longest }
