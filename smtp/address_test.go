package smtp

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestT72Addresses(t *testing.T) {
	long := strings.Repeat("x", 63)
	for _, s := range []string{
		"a@b", "a.b+c@b.example", "A_B-c@x-y.example", "o'neil/dept=x@b.example", "-rf@b.example", "|cmd@b.example", "a..b.@b.example",
		`"a b"@b.example`, `"a\"b>"@b.example`, `"\\"@b.example`, `""@b.example`, `"a@b"@b.example`,
		"a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@[ipv6:::1]", "a@under_score.example",
		"é@b.example", "a@exämple.org", "用户@例子.中国",
		strings.Repeat("x", 90) + "@reply.example", "a@" + long + "." + long + "." + long + "." + long[:61],
	} {
		if p := checkAddress(s); p != "" {
			t.Errorf("%q: %s", s, p)
		}
	}
	for _, s := range []string{
		"", "a", "@b", "a@", "a@b@c", "a b@c", " a@b", "a@b ", "a@b c", "a\r\nDATA@b", "a@b\r\n", "a@b\n", "a@b\x00", "a\tb@c", "a@b>", "a@b> SIZE=1", "<a@b>", "a>@b", "a,b@c", "a;b@c", "a:b@c", ":include:/x@b", "@x:a@b", "a(b)@c", `a\@b`, `a"b"@c`,
		`"a@b`, `"a"`, `"a"b@c`, `"a\`, "\"a\r\n\"@b", "\"a\x7f\"@b", "\"\x00\"@b",
		"a@.b", "a@b.", "a@b..c", "a@b/c", "a@b:c", "a@[1.2.3]", "a@[1.2.3.4", "a@[::1]", "a@[IPv6:1.2.3.4]", "a@[IPv6:fe80::1%eth0]", "a@[]", "a@[IPv6:]",
		"\xff@b", "a@\xc3", "a\u0085@b", "a\u2028@b", "a\u00a0@b",
		"a@" + long + "x.example", "a@" + strings.Repeat(long+".", 4) + "x", strings.Repeat("x", 320) + "@b",
	} {
		if checkAddress(s) == "" {
			t.Errorf("%q passes", s)
		}
	}
}

// FuzzAddress has addresses of all sorts go into commands: each gives one line,
// and one path that a naive and a strict server read alike.
func FuzzAddress(f *testing.F) {
	f.Add("a@b", "a+b=c d", "x@y")
	f.Add(`"a> SIZE=1 <b"@c`, "\r\n", "é@b")
	f.Fuzz(func(t *testing.T, address, id, original string) {
		c := &Client{capabilities: &Capabilities{DSN: true, SMTPUTF8: true, EightBitMIME: true}}
		r := Recipient{Address: address, Notify: "never", Original: original}
		var lines []string
		if c.checkRecipient(r) == nil {
			lines = append(lines, string(c.appendRcpt(nil, r)))
		}
		m := &Mail{From: address, EnvelopeID: id, Return: "hdrs"}
		if c.check(m) == nil {
			lines = append(lines, string(c.appendMail(nil, m, !isASCII(address))))
		}
		for _, l := range lines {
			if !strings.HasSuffix(l, "\r\n") || strings.ContainsAny(l[:len(l)-2], "\r\n\x00") {
				t.Fatalf("not one line: %q", l)
			}
			verb, rest, _ := strings.Cut(strings.TrimSuffix(l, "\r\n"), ":<")
			if verb != "MAIL FROM" && verb != "RCPT TO" {
				t.Fatalf("another command: %q", l)
			}
			if !strings.HasPrefix(rest, address+">") {
				t.Fatalf("another path: %q", l)
			}
			for _, p := range strings.Split(rest[len(address)+1:], " ")[1:] {
				if !strings.HasPrefix(p, "NOTIFY=NEVER") && !strings.HasPrefix(p, "ORCPT=rfc822;") && p != "BODY=8BITMIME" && p != "SMTPUTF8" && p != "RET=HDRS" && !strings.HasPrefix(p, "ENVID=") {
					t.Fatalf("another parameter: %q", l)
				}
			}
		}
	})
}

// TestParameters shows the commands that messages make, by what is offered.
func TestParameters(t *testing.T) {
	full := &Mail{From: "me@a.example", Size: 1234, EightBit: true, Return: "hdrs", EnvelopeID: "a+b =é"[:5]}
	for _, tt := range []struct {
		name    string
		offered []string
		mail    *Mail
		to      Recipient
		want    string // MAIL, then RCPT; or the error
	}{
		{name: "null sender", mail: &Mail{}, want: "MAIL FROM:<>|RCPT TO:<b@b>"},
		{name: "nothing offered", mail: full, to: Recipient{Address: "b@b", Notify: "delay", Original: "c@c"},
			want: "MAIL FROM:<me@a.example>|RCPT TO:<b@b>"},
		{name: "all offered", offered: []string{"size 2000", "8bitmime", "dsn", "smtputf8"}, mail: full, to: Recipient{Address: "b@b", Notify: "delay,failure", Original: "c+d@c"},
			want: "MAIL FROM:<me@a.example> SIZE=1234 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+20+3D|RCPT TO:<b@b> NOTIFY=DELAY,FAILURE ORCPT=rfc822;c+2Bd@c"},
		{name: "size without limit", offered: []string{"SIZE"}, mail: full, want: "MAIL FROM:<me@a.example> SIZE=1234|RCPT TO:<b@b>"},
		{name: "size 0", offered: []string{"SIZE 0"}, mail: full, want: "MAIL FROM:<me@a.example> SIZE=1234|RCPT TO:<b@b>"},
		{name: "too large", offered: []string{"SIZE 1233"}, mail: full, want: "message: its size is 1234 octets, and the server takes 1233"},
		{name: "T76 UTF-8 header", offered: []string{"SMTPUTF8", "8BITMIME"}, mail: &Mail{UTF8: true}, want: "MAIL FROM:<> BODY=8BITMIME SMTPUTF8|RCPT TO:<b@b>"},
		{name: "T76 UTF-8 sender", offered: []string{"SMTPUTF8"}, mail: &Mail{From: "é@a"}, want: "MAIL FROM:<é@a> SMTPUTF8|RCPT TO:<b@b>"},
		{name: "T76 UTF-8 recipient", offered: []string{"SMTPUTF8"}, mail: &Mail{}, to: Recipient{Address: "é@a"}, want: "MAIL FROM:<> SMTPUTF8|RCPT TO:<é@a>"},
		{name: "T76 no SMTPUTF8", mail: &Mail{UTF8: true}, want: "message: its sender or header is not ASCII, and the server does not offer SMTPUTF8"},
		{name: "T76 recipient, no SMTPUTF8", mail: &Mail{}, to: Recipient{Address: "é@a"}, want: "recipient <é@a>: it is not ASCII, and the server does not offer SMTPUTF8"},
		{name: "postmaster", mail: &Mail{}, to: Recipient{Address: "Postmaster"}, want: "MAIL FROM:<>|RCPT TO:<Postmaster>"},
		{name: "bad sender", mail: &Mail{From: "a\r\nb"}, want: `sender <a\u000d\u000ab>: it contains a line end or another control character`},
		{name: "bad RET", mail: &Mail{Return: "x y"}, want: "message: RET is neither FULL nor HDRS"},
		{name: "bad ENVID", mail: &Mail{EnvelopeID: "x\r\n"}, want: "message: the envelope identifier is longer than 100 characters or not printable ASCII"},
		{name: "bad NOTIFY", mail: &Mail{}, to: Recipient{Address: "b@b", Notify: "NEVER,DELAY"}, want: "recipient <b@b>: NOTIFY is neither NEVER nor a list of SUCCESS, FAILURE and DELAY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			offered := parseCapabilities(tt.offered)
			c := &Client{capabilities: &offered}
			m := *tt.mail
			if tt.to.Address == "" {
				tt.to.Address = "b@b"
			}
			m.To = []Recipient{tt.to}
			tx, err := c.begin(&m)
			var got string
			switch {
			case errors.Is(err, ErrNoRecipients):
				got = tx.to[0].Error()
			case err != nil:
				got = err.Error()
			default:
				got = strings.ReplaceAll(strings.TrimSuffix(string(c.fill(nil, tx, 9)), "\r\nDATA\r\n"), "\r\n", "|")
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			var class interface{ Permanent() bool }
			if len(tx.to) > 0 && tx.to[0] != nil && (!errors.As(tx.to[0], &class) || !class.Permanent()) {
				t.Errorf("%v is not permanent", tx.to[0])
			}
		})
	}
}

// A text goes as it is to a server without 8BITMIME.
func TestT76EightBitWithoutIt(t *testing.T) {
	dialogue(t, Options{}, greeted("PIPELINING")+envelope1+"S: 250 ok\nS: 250 ok\nS: 354 go\nC: \nC: h\u00e9\xff\nC: .\nS: 250 ok", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		m := letter("\nh\u00e9\xff", "b@b.example")
		m.EightBit = true
		box := newOutbox(m)
		noError(t, c.Send(context.Background(), box))
		box.told(t, "dot 0 ok; done 0 sent ok")
	})
}
