package maildir

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// KeySize is the length in octets of the key that a unique name carries.
const KeySize = 16

// Namer makes the unique names of one process. Its methods may be called from
// many goroutines at once.
type Namer struct {
	host    string
	process string // random: a process id can come again at once, and a clock can be set back
	count   atomic.Uint64
}

// NewNamer returns a Namer for the given host name.
func NewNamer(host string) *Namer {
	var b [8]byte
	rand.Read(b[:])
	return &Namer{host: escapeHost(host), process: hex.EncodeToString(b[:])}
}

// Unique returns the part of a name that no other message has:
// SECONDS.UNIQUE.HOST, to be completed by Temporary and Final.
func (n *Namer) Unique(now time.Time) string {
	return fmt.Sprintf("%d.R%sQ%d.%s", now.Unix(), n.process, n.count.Add(1), n.host)
}

// made tells whether the name came from Unique.
func (n *Namer) made(name string) bool { return strings.Contains(name, ".R"+n.process+"Q") }

// Temporary returns the name that a message has in tmp/, where its size is not
// known yet.
func Temporary(unique string, key [KeySize]byte) string {
	return unique + ",K=" + hex.EncodeToString(key[:])
}

// Final returns the name that a message has in new/: with its size in octets
// and the key that says where it came from.
func Final(unique string, octets int64, key [KeySize]byte) string {
	return unique + ",S=" + strconv.FormatInt(octets, 10) + ",K=" + hex.EncodeToString(key[:])
}

// ParseKey returns the key in the name of a file of ours, in tmp/, new/ or
// cur/ (with its flags).
func ParseKey(name string) (key [KeySize]byte, ok bool) {
	base := Base(name)
	i := strings.LastIndex(base, ",K=")
	if i < 0 {
		return key, false
	}
	digits := base[i+len(",K="):]
	if end := strings.IndexByte(digits, ','); end >= 0 {
		digits = digits[:end] // a reader added a field of its own, such as ,U=
	}
	if len(digits) != 2*KeySize {
		return key, false
	}
	if _, err := hex.Decode(key[:], []byte(digits)); err != nil {
		return key, false
	}
	return key, true
}

// Base returns the name without the flags that readers add after a colon.
func Base(name string) string {
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return name[:i]
	}
	return name
}

// hostSize bounds the host in a name: a file name may have 255 octets, and
// readers add their flags to it.
const hostSize = 64

// escapeHost writes as octal what would break a name: the path separator, the
// colon before the flags (both as the Maildir page says), the comma before our
// fields, and what is not ASCII. A leading dot cannot occur, as the seconds
// stand before it.
func escapeHost(host string) string {
	if host == "" {
		return "localhost"
	}
	var b strings.Builder
	for i := 0; i < len(host); i++ {
		c := host[i : i+1]
		if strings.ContainsAny(c, "/:,\\") || host[i] <= ' ' || host[i] >= 0x7f {
			c = fmt.Sprintf(`\%03o`, host[i])
		}
		if b.Len()+len(c) > hostSize {
			break
		}
		b.WriteString(c)
	}
	return b.String()
}
