package smtp

import (
	"context"
	"net"
	"strings"
	"testing"
)

func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  Capabilities
		sasl  string
	}{
		{nil, Capabilities{}, ""},
		{[]string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "SIZE 1000", "AUTH PLAIN LOGIN"}, Capabilities{true, true, true, true, true, 1000, nil}, "PLAIN LOGIN"},
		{[]string{"pipelining", "8bitMIME", "smtputf8", "dsn", "StartTLS", "size 1000", "auth plain"}, Capabilities{true, true, true, true, true, 1000, nil}, "PLAIN"},
		{[]string{"AUTH=LOGIN PLAIN"}, Capabilities{}, "LOGIN PLAIN"},
		{[]string{"AUTH LOGIN PLAIN", "AUTH=LOGIN plain XOAUTH2"}, Capabilities{}, "LOGIN PLAIN XOAUTH2"},
		{[]string{"AUTH=", "AUTH"}, Capabilities{}, ""},
		{[]string{"SIZE", "", "  "}, Capabilities{}, ""},
		{[]string{"SIZE 0"}, Capabilities{}, ""},
		{[]string{"SIZE -5"}, Capabilities{}, ""},
		{[]string{"SIZE 99999999999999999999"}, Capabilities{}, ""},
		{[]string{"PIPELININGX", "XSTARTTLS"}, Capabilities{}, ""},
	} {
		got := parseCapabilities(tt.lines)
		sasl := strings.Join(got.SASL(), " ")
		got.params = nil
		if got.Pipelining != tt.want.Pipelining || got.EightBitMIME != tt.want.EightBitMIME || got.SMTPUTF8 != tt.want.SMTPUTF8 ||
			got.DSN != tt.want.DSN || got.StartTLS != tt.want.StartTLS || got.Size != tt.want.Size || sasl != tt.sasl {
			t.Errorf("%q: got %+v, %s", tt.lines, got, sasl)
		}
	}
}

func TestHello(t *testing.T) {
	for _, tt := range []struct{ name, transcript, err string }{
		{"EHLO once", greeted("X 1"), ""},
		{"the name is no capability", "S: 220 hi\nC: EHLO me.example\nS: 250 PIPELINING", ""},
		{"HELO", "S: 220 hi\nC: EHLO me.example\nS: 500 what\nC: HELO me.example\nS: 250 hi", ""},
		{"HELO refused", "S: 220 hi\nC: EHLO me.example\nS: 502 what\nC: HELO me.example\nS: 550 5.7.1 not you", "server refused HELO: 550 5.7.1 not you"},
		{"EHLO refused", "S: 220 hi\nC: EHLO me.example\nS: 554 no", "server refused EHLO: 554 no"},
		{"EHLO put off", "S: 220 hi\nC: EHLO me.example\nS: 450 later", "server refused EHLO: 450 later"},
		{"354", "S: 220 hi\nC: EHLO me.example\nS: 354 go", `read reply to EHLO: that is no answer to it: "354 go"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dialogue(t, Options{}, tt.transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				caps, err := c.Capabilities(context.Background())
				if tt.err != "" {
					if err == nil || err.Error() != tt.err {
						t.Errorf("got %v, want %s", err, tt.err)
					}
					return
				}
				noError(t, err)
				if caps.Pipelining {
					t.Error("the server's name counts as a capability")
				}
				if _, err := c.Capabilities(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestName(t *testing.T) {
	for addr, want := range map[net.Addr]string{
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}:               "[192.0.2.1]",
		&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 5}:           "[IPv6:2001:db8::1]",
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 5, Zone: "eth0"}: "[IPv6:fe80::1]",
		&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 5}:      "[192.0.2.1]",
		&net.UnixAddr{Name: "/x"}:                                       "[127.0.0.1]",
		net.Addr(nil):                                                   "[127.0.0.1]",
	} {
		if got := literal(addr); got != want {
			t.Errorf("%v: got %s, want %s", addr, got, want)
		}
		if checkDomain(want) != "" {
			t.Errorf("%s is no literal", want)
		}
	}
	for _, name := range []string{"a b", "a\r\nRSET", "é.example", "[1.2.3]", "."} {
		near, far := net.Pipe()
		if _, err := New(context.Background(), near, Options{Name: name}); err == nil || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%q: got %v", name, err)
		}
		if _, err := far.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
	}
}
