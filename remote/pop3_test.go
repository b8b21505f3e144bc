package remote

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/auth"
	"postrider/configs"
	"postrider/fetch"
	"postrider/mailtest"
)

// kept is a memory that the test can look into.
type kept struct{ text []byte }

func (k *kept) Recall() ([]byte, error)    { return k.text, nil }
func (k *kept) Remember(text []byte) error { k.text = text; return nil }

// account is one at a server on loopback that speaks implicit TLS.
func account(t *testing.T, ca *mailtest.CA, port int, k *kept) *POP3 {
	t.Helper()
	file, err := ca.WriteFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := configs.Server{Host: "127.0.0.1", Port: port, TLS: "implicit", CAFile: file, Auth: "auto", Timeout: time.Second}
	d, err := newDialer(server)
	if err != nil {
		t.Fatal(err)
	}
	a := configs.Account{Name: "work", User: "ada", Password: configs.Secret{Literal: "secret"}}
	return &POP3{dialer: d, login: newLogin(a, auth.Environ{}), box: configs.Mailbox{Server: server}, memory: k}
}

func script(t *testing.T, steps string) (*mailtest.CA, *mailtest.ScriptServer) {
	t.Helper()
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.Server()
	if err != nil {
		t.Fatal(err)
	}
	return ca, mailtest.ScriptWith(t, mailtest.ScriptOptions{TLS: server, Implicit: true, Timeout: 5 * time.Second}, steps)
}

func list(t *testing.T, a *POP3) (items int, err error) {
	t.Helper()
	src, err := a.Dial(t.Context())
	if err != nil {
		return 0, err
	}
	if _, err = src.List(t.Context(), fetch.Mark{}, func(fetch.Item) error { items++; return nil }); err != nil {
		src.Abort()
		return items, err
	}
	return items, src.Close(t.Context())
}

// TestOneFlight: the second session sends everything before it reads anything
// but the greeting.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	ca, server := script(t, `
		S: +OK ready
		C: CAPA
		RAW: "+OK\r\nPIPELINING\r\nUIDL\r\nSASL PLAIN\r\n.\r\n"
		C: AUTH PLAIN AGFkYQBzZWNyZXQ=
		S: +OK
		CRAW: "LIST\r\nUIDL\r\n"
		RAW: "+OK\r\n1 10\r\n.\r\n+OK\r\n1 a\r\n.\r\n"
		C: QUIT
		NEXT
		S: +OK ready
		CRAW: "CAPA\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\nLIST\r\nUIDL\r\n"
		RAW: "+OK\r\nPIPELINING\r\nUIDL\r\nSASL PLAIN\r\n.\r\n+OK\r\n+OK\r\n1 10\r\n.\r\n+OK\r\n1 a\r\n.\r\n"
		C: QUIT
	`)
	a := account(t, ca, server.Port(), &kept{})
	for range 2 {
		if n, err := list(t, a); n != 1 || err != nil {
			t.Fatalf("%d messages, %v", n, err)
		}
	}
	server.Wait()
}

// TestNothingIsSentBeforeTheGreeting: a server that greets with a refusal gets
// no credential.
func TestNothingIsSentBeforeTheGreeting(t *testing.T) {
	t.Parallel()
	ca, server := script(t, `
		S: -ERR [SYS/TEMP] too many connections
		EOF
	`)
	_, err := list(t, account(t, ca, server.Port(), &kept{[]byte(`{"mechanism":"PLAIN"}`)}))
	var failed *ServerError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "too many connections") {
		t.Errorf("error %v", err)
	}
	server.Wait()
}

// TestMemoryIsOnlyAHint: whatever stands in the memory, the session works.
func TestMemoryIsOnlyAHint(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "not JSON", `{"mechanism":"NO-SUCH"}`, `{"mechanism":"CRAM-MD5"}`, `{"mechanism":"SCRAM-SHA-256"}`, `{"mechanism":"USER"}`, `{"mechanism":"LOGIN"}`, `{"stumbled":1}`} {
		ca, err := mailtest.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		config, err := ca.Server()
		if err != nil {
			t.Fatal(err)
		}
		s := mailtest.NewPOP3(mailtest.POP3Options{TLS: config, Implicit: true, Users: map[string]string{"ada": "secret"}, Mechanisms: []string{"PLAIN"},
			LockWait: 10 * time.Second}) // of a session that is given up the server may hear late
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := list(t, account(t, ca, s.Port(), &kept{[]byte(text)})); err != nil {
			t.Errorf("with %q: %v", text, err)
		}
		s.Close()
	}
}

func TestPasswordIsAskedForBeforeDialling(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ca, err := mailtest.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	a := account(t, ca, l.Addr().(*net.TCPAddr).Port, &kept{})
	a.login = newLogin(configs.Account{User: "ada", Password: configs.Secret{Env: "NO_SUCH_VARIABLE"}}, auth.Environ{})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = a.Dial(ctx)
	var refused *LoginError
	if !errors.As(err, &refused) {
		t.Errorf("error %v", err)
	}
	if err := l.(*net.TCPListener).SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if conn, err := l.Accept(); err == nil {
		conn.Close()
		t.Error("the server was called")
	}
}
