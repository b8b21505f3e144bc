package remote

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/fetch"
	"postrider/pop3"
)

// TestRemedies: the mistakes that are made most say what to do about them, and
// nothing says twice what went wrong.
func TestRemedies(t *testing.T) {
	t.Parallel()
	dialled := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&ServerError{"h:1", fmt.Errorf("connect: %w", plainly(dialled(&os.SyscallError{Syscall: "connect", Err: unix.ECONNREFUSED})))},
			"h:1: connect: connection refused (nothing listens there"},
		{&ServerError{"h:1", fmt.Errorf("connect: %w", plainly(dialled(&net.DNSError{Err: "no such host", Name: "h", IsNotFound: true})))},
			"h:1: connect: lookup h: no such host (is host written right?)"},
		{&ServerError{"h:1", &pop3.ConnError{Doing: "TLS handshake", Err: tls.RecordHeaderError{Msg: "first record"}}}, "try tls: starttls"},
		{&ServerError{"h:1", &pop3.ReplyError{Command: "STLS", Text: "what?"}}, "try tls: implicit"},
		{&LoginError{"h:1", &pop3.ReplyError{Command: "PASS", Text: "no"}}, "(check user and password"},
	} {
		if !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%q has no %q", tt.err, tt.want)
		}
	}
	for _, err := range []error{&ServerError{"h:1", errors.New("x")}, &LoginError{"h:1", errors.New("x")}} {
		if strings.Contains(err.Error(), "(") {
			t.Errorf("a remedy for nothing: %v", err)
		}
	}
}

// diskFull is a Receiver on a disk without room.
type diskFull struct{ fetch.Receiver }

func (diskFull) End(int, error) error { return &fetch.LocalError{Err: unix.ENOSPC} }

// TestDiskIsNotTheServersFault: a failure of this side names no server.
func TestDiskIsNotTheServersFault(t *testing.T) {
	t.Parallel()
	ca, server := script(t, `
		S: +OK ready
		C: CAPA
		RAW: "+OK\r\nUIDL\r\nSASL PLAIN\r\n.\r\n"
		C: AUTH PLAIN AGFkYQBzZWNyZXQ=
		S: +OK
		C: RETR 1
		S: -ERR no
	`)
	src, err := account(t, ca, server.Port(), &kept{}).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer src.Abort()
	err = src.Retrieve(t.Context(), []fetch.Request{{Number: 1, Octets: 10}}, diskFull{})
	if !errors.Is(err, unix.ENOSPC) || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("%v", err)
	}
}
