package configs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Secret says where a password or an access token comes from: at most one field is set. However it is printed, logged or marshalled, only the kind of the
// source shows: a command line and a file name may give as much away as the literal.
type Secret struct {
	Literal    string
	File       string // absolute
	Env        string
	Credential string // a name below $CREDENTIALS_DIRECTORY
	Command    []string
}

// IsZero says that there is no source at all.
func (s Secret) IsZero() bool {
	return s.Literal == "" && s.File == "" && s.Env == "" && s.Credential == "" && len(s.Command) == 0
}

// String names the kind of the source.
func (s Secret) String() string {
	switch {
	case s.Literal != "":
		return "literal, hidden"
	case s.File != "":
		return "file"
	case s.Env != "":
		return "env"
	case s.Credential != "":
		return "credential"
	case len(s.Command) > 0:
		return "command"
	}
	return "none"
}

// GoString is String: %#v must not reveal what %v hides.
func (s Secret) GoString() string { return s.String() }

// Format is String for every verb: %x and %q would reach for the fields themselves.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, so that no JSON or other encoding of a Config carries a secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// parsePassword takes a literal password. An octet that ends a line or a string would end the command that carries it (RFC 4616 section 2 bars NUL; the
// login commands are lines), so it cannot be part of one.
func parsePassword(s string) (string, error) {
	switch {
	case s == "":
		return "", wrong("is empty", "give the password, or {command: [...]}, {file: ...}, {env: ...}, {credential: ...}")
	case strings.ContainsAny(s, "\r\n"):
		return "", wrong("has a line break", "put it in quotes on one line")
	case strings.Contains(s, "\x00"):
		return "", wrong("has a NUL character", "")
	}
	return s, nil
}
