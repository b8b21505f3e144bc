package outbox

import (
	"net/mail"
	"testing"
	"time"
)

// TestT85Route never finds another account than the one that was meant.
func TestT85Route(t *testing.T) {
	accounts := []Routed{
		{"wild", "w@w.example", []string{"*@ada.example", "*@例子.cn"}},
		{"work", "ada@example.org", []string{"ada@example.com", "ada@ada.example"}},
		{"home", "Ada@Home.Example", []string{"*@ada.example", "ada@example.com", `"a b"@q.example`}},
		{"exact", "boss@ada.example", nil},
		{"idn", "a@bücher.example", []string{"用户@x.example", "b@xn--fiqs8s"}},
		{"none", "", []string{""}},
	}
	for from, want := range map[string]string{
		"ada@example.org":                "work",
		"ADA@EXAMPLE.ORG":                "work",
		"ada@example.com":                "work", // the first alias of two
		"ada@home.example":               "home",
		"anybody@ada.example":            "wild",
		"ada@ada.example":                "work",  // an alias before a wildcard
		"Boss@Ada.Example":               "exact", // an address before both
		"x@例子.cn":                        "wild",
		"x@xn--fsqu00a.cn":               "wild",
		"a@xn--bcher-kva.example":        "idn",
		"a@BÜCHER.example":               "idn",
		"b@中国":                           "idn",
		"用户@X.example":                   "idn",
		`"A b"@q.example`:                "home",
		`"ada"@example.org`:              "work",
		"x@sub.ada.example":              "",
		"x@aada.example":                 "",
		"ada@example.net":                "",
		"ada":                            "",
		"":                               "",
		"*@ada.example":                  "wild", // a strange local part is one all the same
		"ada@example.org, b@example.org": "",
		"ada@example.org\n":              "",
		"ada@example.org@evil.example":   "",
		"evil.example!ada@example.orgx":  "",
	} {
		if got, ok := Route(from, accounts); got != want || ok != (want != "") {
			t.Errorf("%q goes by %q, %v, want %q", from, got, ok, want)
		}
	}
}

func TestMessageID(t *testing.T) {
	for _, c := range []struct {
		from       Address
		host, want string
	}{
		{Address{"a", "example.org"}, "h", "<u@example.org>"},
		{Address{"a", "[192.0.2.1]"}, "h", "<u@[192.0.2.1]>"},
		{Address{"root", ""}, "Host.Local", "<u@host.local>"},
		{Address{}, "bad host>\r\n", "<u@localhost>"},
		{Address{}, "", "<u@localhost>"},
	} {
		if got := MessageID("u", c.from, c.host); got != c.want {
			t.Errorf("%v at %q gives %s, want %s", c.from, c.host, got, c.want)
		}
	}
}

func TestFormatMailbox(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"", `"a b"@x`},
		{"CronDaemon", `"CronDaemon" <"a b"@x>`},
		{`Smith, "J" \`, `"Smith, \"J\" \\" <"a b"@x>`},
		{"张三", `=?utf-8?q?=E5=BC=A0=E4=B8=89?= <"a b"@x>`},
	} {
		got, err := FormatMailbox(c.name, Address{`"a b"`, "x"})
		if err != nil || got != c.want {
			t.Errorf("%q gives %s, want %s (%v)", c.name, got, c.want, err)
		}
		if a, err := mail.ParseAddress(got); err != nil || a.Name != c.name || a.Address != "a b@x" {
			t.Errorf("%q reads as %v, %v", got, a, err)
		}
	}
}

func TestFormatDate(t *testing.T) {
	at := time.Date(2026, 3, 1, 8, 5, 9, 0, time.FixedZone("", -(3*3600+1800)))
	got := formatDate(at)
	if got != "Sun, 1 Mar 2026 08:05:09 -0330" {
		t.Errorf("date %s", got)
	}
	if back, err := mail.ParseDate(got); err != nil || !back.Equal(at) {
		t.Errorf("reads as %v, %v", back, err)
	}
}
