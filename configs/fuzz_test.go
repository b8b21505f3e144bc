package configs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// FuzzParse has no panic, a place for every mistake, and no planted password in a message, wherever in the file the fuzzer carries it.
func FuzzParse(f *testing.F) {
	f.Add(Sample())
	f.Add([]byte(uncommented()))
	for _, seed := range []string{
		good,
		"maildir: /m\naccounts:\n  a:\n    user: u\n    password: " + planted + "\n    imap: {host: h}\n",
		"accounts: {a: {password: {" + planted + "}, host: x}}\n",
		"x-p: &p \"" + planted + "\"\naccounts:\n  a: &a\n    password: *p\n    smtp: {host: h, sent: *p}\n  b: {<<: *a, user: *p}\n",
		"x-a: &a\n  <<: [*a, *a]\nlog: *a\nmetrics: {listen: :1, public: true}\noutbox: off\n",
		"a: 1\n---\nb: 2\n", "? [a]\n: b\n", "maildir: |\n  x\n", "a: *" + planted + "\n", "a: !" + planted + " b\n", "password: '" + planted + "\n", "\xff\xfea\x00:\x00",
		"#c\n- a: # b\n  # d\n\n c\n#", "maildir: ${A}/$B\non_new_mail: [a]\n",
		"accounts: {a: {user: u, password: p, pop3: {host: h, schedule: TZ=UTC, on_server: delete after 3d, max_size: 3MB, pins: ['sha256:00'], tls: none}}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("c.yaml", data, world())
		if err == nil {
			for _, a := range c.Accounts {
				if text := fmt.Sprintf("%v %+v %#v %x", a.Password, a.Password, a.Password, a.Password); strings.Contains(text, planted) {
					t.Errorf("password in %s", text)
				}
			}
			return
		}
		var errs *Errors
		if c != nil || !errors.As(err, &errs) || len(errs.List) == 0 {
			t.Fatalf("%v and %v", c, err)
		}
		for _, e := range errs.List {
			if e.Line < 1 || e.File != "c.yaml" || e.Problem == "" {
				t.Errorf("no place: %+v", e)
			}
			if strings.ContainsAny(e.Error(), "\r\n\x00\x1b") {
				t.Errorf("not a line: %q", e.Error())
			}
		}
		if strings.Contains(err.Error(), planted) {
			t.Errorf("password in %v", err)
		}
	})
}

// FuzzUnits has no panic in what reads single values, and nothing negative.
func FuzzUnits(f *testing.F) {
	for _, seed := range []string{"1d2h3m4s", "50MiB", "@every 5m", "TZ=UTC 0 7 * * *", "*/5 8-18 * * 1-5", "delete after 30d", "~/$A/${B}", "{account}/{folder}", "ada@example.org", "*@x", "::1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseDuration(s); err == nil && d < 0 {
			t.Errorf("%q is %v", s, d)
		}
		if n, err := parseSize(s); err == nil && n < 0 {
			t.Errorf("%q is %d", s, n)
		}
		if at, err := parseSchedule(s); err == nil && !at.Manual && at.Every < 1e9 && at.Cron == "" {
			t.Errorf("%q is %+v", s, at)
		}
		if path, err := world().expand(s); err == nil && !strings.HasPrefix(path, "/") {
			t.Errorf("%q is %q", s, path)
		}
		if _, err := parseDeliverTo(s); err == nil && strings.Contains("/"+s+"/", "/../") {
			t.Errorf("%q leaves the root", s)
		}
		for _, parse := range []func(string) (string, error){parseHost, parseAddress, parseAlias, parseUser, parseListen, parsePattern, parseCredential} {
			if got, err := parse(s); err == nil && strings.ContainsAny(got, "\r\n\x00") {
				t.Errorf("%q passes", s)
			}
		}
		_, _ = parseDisposal(s)
		_, _ = parsePin(s)
	})
}
