package mailtest

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzIMAPCommand gives a session any command: it must be answered or end the
// session, and never crash the server or change what it may not.
func FuzzIMAPCommand(f *testing.F) {
	for _, seed := range []string{
		"UID FETCH 1:*,3 (UID FLAGS BODY.PEEK[HEADER.FIELDS (From {2}\r\nTo)]<1.2>) (CHANGEDSINCE 3 VANISHED)",
		"SELECT INBOX (QRESYNC (1001 3 1:2 (1 1)))", "ENABLE QRESYNC UTF8=ACCEPT", `LIST (SPECIAL-USE) "" (% "a*") RETURN (STATUS (SIZE))`,
		"UID SEARCH RETURN (MIN ALL) OR (UID 1:*) NOT 2", "UID STORE 1 (UNCHANGEDSINCE 4) -FLAGS.SILENT (\\Seen x)", "STATUS &AOk- (MESSAGES)",
		"APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\nabc", "UID MOVE 4294967295:* INBOX", "ID (\"a\" NIL)",
		"NOTIFY SET STATUS (mailboxes (INBOX x) (MessageNew)) (subtree a NONE)", "RENAME INBOX a/b", "FETCH 0 FAST", "UID SEARCH (((((ALL", "SEARCH 1:4294967295",
		"APPEND INBOX UTF8 (~{3+}\r\nabc)", "UID EXPUNGE 1", "EXPUNGE", "COMPRESS DEFLATE", "LOGOUT", "CREATE a//b", "",
	} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		s := NewIMAP(IMAPOptions{Users: map[string]string{"ada": "secret"}, Capabilities: append(defaultCapabilities(), "X-GM-EXT-1")})
		inbox := s.Account("ada").Mailbox("INBOX")
		for range 4 {
			inbox.Add([]byte("Subject: x\r\n\r\nx\r\n"), `\Deleted`)
		}
		near, far := net.Pipe()
		defer func() { _ = near.Close() }()
		session := newIMAPSession(s, far, 1)
		_ = far.SetDeadline(time.Now().Add(5 * time.Second))
		session.user, session.account = "ada", s.Account("ada")
		session.open = newIMAPView(inbox, false, 0)
		for _, text := range []string{one, two} {
			e, p := session.command("t", text)
			r, err := session.perform(e, p)
			if err != nil {
				return
			}
			if r.line == "" {
				t.Fatalf("%q got no answer", text)
			}
			if r.body != nil {
				var out strings.Builder
				if err := r.body(&out); err != nil {
					t.Fatalf("%q: %v", text, err)
				}
			}
			if session.open != nil && len(session.open.rows) < len(session.open.mailbox.Messages()) {
				t.Fatalf("%q: the session has not been told of a message", text)
			}
		}
		if !slices.IsSortedFunc(inbox.Messages(), func(a, b IMAPMessage) int { return int(a.UID) - int(b.UID) }) {
			t.Fatalf("UIDs out of order")
		}
	})
}

// FuzzMailboxName: what is encoded comes back, and what is decoded is UTF-8.
func FuzzMailboxName(f *testing.F) {
	for _, seed := range []string{"", "INBOX", "a&b", "Entwürfe", "日本語/台北", "😀", "&AOk-", "&-&-", "&", "&AAA-", "\u0000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if valid := strings.ToValidUTF8(name, "?"); !strings.ContainsRune(valid, '�') {
			wire := encodeName(valid)
			if back, err := decodeName(wire); err != nil || back != valid {
				t.Errorf("%q is %q is %q, %v", valid, wire, back, err)
			}
		}
		if text, err := decodeName(name); err == nil && strings.ToValidUTF8(text, "") != text {
			t.Errorf("%q is %q, which is no UTF-8", name, text)
		}
	})
}

func TestMailboxNames(t *testing.T) {
	for name, wire := range map[string]string{
		"~peter/mail/台北/日本語": "~peter/mail/&U,BTFw-/&ZeVnLIqe-", // RFC 3501 section 5.1.3
		"Entwürfe":           "Entw&APw-rfe",
		"a & b":              "a &- b",
		"😀":                  "&2D3eAA-",
	} {
		if got := encodeName(name); got != wire {
			t.Errorf("%q is %q, want %q", name, got, wire)
		}
		if got, err := decodeName(wire); err != nil || got != name {
			t.Errorf("%q is %q, %v, want %q", wire, got, err, name)
		}
	}
	for _, wire := range []string{"&", "a&AOk", "é", "&A-", "&AO-", "&2D0-", "\x7f"} {
		if got, err := decodeName(wire); err == nil {
			t.Errorf("%q is %q, want an error", wire, got)
		}
	}
}

func TestIMAPSets(t *testing.T) {
	for _, c := range []struct {
		text string
		star uint32
		want string
	}{
		{"1", 9, "1"}, {"*", 9, "9"}, {"3:1,2", 9, "1:3"}, {"900:*", 9, "9:900"}, {"5,1:2,3,7:*", 8, "1:3,5,7:8"},
		{"4294967295,1", 9, "1,4294967295"}, {"1:4294967295,7", 9, "1:4294967295"}, {"*:2,*", 4, "2:4"},
	} {
		p := imapParser{text: c.text}
		set, err := p.set()
		if got := set.resolve(c.star).String(); err != nil || p.end() != nil || got != c.want {
			t.Errorf("%q is %q, %v, want %q", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "0", "1:", ":1", "1,", "4294967296", "a", "1:0"} {
		p := imapParser{text: text}
		if set, err := p.set(); err == nil && p.end() == nil {
			t.Errorf("%q is %v, want an error", text, set)
		}
	}
}

func TestIMAPWildcards(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%", "a", true}, {"%/%", "a/b", true}, {"a*b", "a/x/b", true}, {"a%b", "axxb", true},
		{"a%b", "ax/b", false}, {"", "a", false}, {"a", "a", true}, {"a*", "a", true}, {"*a*a*a*a*a*b", strings.Repeat("a", 2000), false},
	} {
		if got := wild(c.pattern, c.name, "/"); got != c.want {
			t.Errorf("%q matches %.20q: %v", c.pattern, c.name, got)
		}
	}
}
