package mailtest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB that keeps the errors of the code under test.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// play lets a client that sends lines blindly meet a script, and returns what
// the client read and what the script said about it.
func play(t *testing.T, o ScriptOptions, steps string, clients ...string) (read, said string) {
	t.Helper()
	r := &recorder{TB: t}
	s := ScriptWith(r, o, steps)
	for _, sends := range clients {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.WriteString(conn, sends)
		_ = conn.(*net.TCPConn).CloseWrite()
		octets, _ := io.ReadAll(conn)
		_ = conn.Close()
		read += string(octets)
	}
	for _, f := range r.cleanups {
		f()
	}
	return read, strings.Join(r.errors, "\n")
}

func TestScriptPlays(t *testing.T) {
	read, said := play(t, ScriptOptions{}, `
		# a comment
		S: +OK ready
		C: USER ada
		S: +OK
		C~: PASS \S+
		RAW: "+OK one\r\n+OK tw"
		CRAW: "a\x00b\n"
		NEXT
		S: again
		EOF`,
		"USER ada\r\nPASS x\r\na\x00b\nrest", "")
	if said != "" {
		t.Errorf("the script complains: %s", said)
	}
	if want := "+OK ready\r\n+OK\r\n+OK one\r\n+OK twagain\r\n"; read != want {
		t.Errorf("the client read %q, want %q", read, want)
	}
}

func TestScriptSeesDeviation(t *testing.T) {
	tests := map[string]struct{ steps, client, want string }{
		"other line": {"S: hello\nC: USER ada\nS: ok", "USER bob\r\n",
			"script: the client deviates at line 2:\n  S: hello\n- C: USER ada\n+ C: USER bob"},
		"no match":    {"C~: A.C", "ABCD\r\n", "line 1:\n- C~: A.C\n+ C: ABCD"},
		"bare LF":     {"C: QUIT", "QUIT\n", `+ C (raw): "QUIT\n"`},
		"left":        {"C: QUIT", "", "+ (the client left)"},
		"half a line": {"C: QUIT", "QU", `+ (the client left after "QU")`},
		"raw":         {`CRAW: "ab"`, "ac", `+ C (raw): "ac"`},
		"more":        {"C: A\nS: bye", "A\r\nB\r\n", "- (nothing more)\n+ C: B"},
		"not EOF":     {"EOF", "A\r\n", "- (the end of the line)\n+ C: A"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, said := play(t, ScriptOptions{}, test.steps, test.client); !strings.Contains(said, test.want) {
				t.Errorf("the script says %q, want %q", said, test.want)
			}
		})
	}
	_, said := play(t, ScriptOptions{Timeout: 50 * time.Millisecond}, "C: A\nNEXT\nC: B", "A\r\n")
	if !strings.Contains(said, "no client came for connection 2") {
		t.Errorf("a missing connection: %q", said)
	}
}

func TestScriptSilentClient(t *testing.T) {
	r := &recorder{TB: t}
	s := ScriptWith(r, ScriptOptions{Timeout: 50 * time.Millisecond}, "S: hello\nC: QUIT")
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s.Wait()
	if len(r.errors) != 1 || !strings.Contains(r.errors[0], "silent for 50ms") {
		t.Errorf("the script says %q", r.errors)
	}
}

func TestScriptStallsUntilTheClientLeaves(t *testing.T) {
	read, said := play(t, ScriptOptions{}, "S: hello\nSTALL", "anything\r\n")
	if read != "hello\r\n" || said != "" {
		t.Errorf("read %q, said %q", read, said)
	}
}

func TestScriptTLS(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	s := ScriptWith(t, ScriptOptions{TLS: config}, "S: hello\nC: STLS\nS: +OK\nSTARTTLS\nC: QUIT\nS: bye")
	c := &client{tb: t}
	if c.conn, err = net.Dial("tcp", s.Addr()); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c.conn, "STLS\r\n")
	head := make([]byte, len("hello\r\n+OK\r\n"))
	if _, err := io.ReadFull(c.conn, head); err != nil {
		t.Fatal(err)
	}
	secure := tls.Client(c.conn, ca.ClientTLS("localhost"))
	if _, err := io.WriteString(secure, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(secure, head[:5]); err != nil || string(head[:5]) != "bye\r\n" {
		t.Errorf("over TLS: %q, %v", head[:5], err)
	}
	_ = c.conn.Close()
}

func TestScriptErrors(t *testing.T) {
	for _, steps := range []string{"X: y", "CUTT", "C~: (", "RAW: unquoted", "S"} {
		if _, err := parseScript(steps); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v, want an error with its line", steps, err)
		}
	}
	if _, err := parseScript("S: a\nNEXT\n"); err == nil {
		t.Error("NEXT without anything behind it is no error")
	}
}
