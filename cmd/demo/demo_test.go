package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

func TestDemo(t *testing.T) {
	parent := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), parent, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	made, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil || len(made) != 1 {
		t.Fatalf("the demo left %q (%v)", made, err)
	}
	for _, want := range []string{"\n  84 new messages in ", "\n  0 new messages in ", "\n  2 new messages in ", "\n  1 new message in ",
		"Bcc is taken out", "Mail/work/Sent: 1 message, 1 read", "mutt -f " + made[0], "rm -r " + made[0]} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output has no %q", want)
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines > 55 {
		t.Errorf("the output has %d lines: who is to read that?", lines)
	}
	if strings.Contains(out.String(), password) {
		t.Error("the output shows the password")
	}
	// What the user is invited to look at has to be there, and nothing besides.
	messages := map[string]int{
		"home/INBOX": generated, "work/INBOX": 53, "work/Archive": 1, "work/Sent": 1,
		"work/Lists/Bücher & 书": 3, "work/Lists/patches": 3, "work/Lists/regatta": 1,
	}
	for folder, n := range messages {
		all, err := list(filepath.Join(made[0], "Mail", folder))
		if err != nil || len(all) != n {
			t.Errorf("%s has %d messages, want %d (%v)", folder, len(all), n, err)
		}
	}
	if old, err := filepath.Glob(filepath.Join(made[0], "Mail/work/Old*")); err != nil || len(old) > 0 {
		t.Errorf("a mailbox that nobody wants is in %q (%v)", old, err)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		for _, what := range []string{"configuration", "outbox", "ledger"} {
			if path, ok := strings.CutPrefix(line, fmt.Sprintf("  %-18s", what)); ok {
				if _, err := os.Stat(path); err != nil {
					t.Error(err)
				}
			}
		}
	}
	// What went out is the same in the copy and in what came back.
	var copies [2]string
	for i, folder := range []string{"work/Sent", "work/INBOX"} {
		all, err := list(filepath.Join(made[0], "Mail", folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range all {
			if l, err := read(path); err != nil {
				t.Fatal(err)
			} else if strings.Contains(string(l.octets), "\nSubject: A file is all it takes\n") {
				copies[i] += string(l.octets)
			}
		}
	}
	if copies[0] == "" || copies[0] != copies[1] || strings.Contains(copies[0], secretly) {
		t.Errorf("sent was %q, back came %q", copies[0], copies[1])
	}
}

// TestCheckSent: what the server got has to be the letter and nothing else.
func TestCheckSent(t *testing.T) {
	added := "Date: now\nMessage-ID: <1@demo.example>\n"
	good := strings.Replace(dropped, "Bcc: "+secretly+"\n", "", 1)
	all := []string{openly, sender, secretly}
	for name, c := range map[string]struct {
		from, octets string
		to           []string
		found        string
	}{
		"as it has to be":  {sender, added + good, all, ""},
		"with Bcc":         {sender, added + dropped, all, "the server got"},
		"without a date":   {sender, good, all, "has to"},
		"a dot too few":    {sender, added + strings.Replace(good, "\n..and", "\n.and", 1), all, "the server got"},
		"to fewer":         {sender, added + good, all[:2], "the envelope"},
		"from another":     {openly, added + good, all, "the envelope"},
		"twice the letter": {sender, added + good + good, all, "the server got"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkSent(mailtest.SMTPMessage{From: c.from, To: c.to, Octets: mailtest.Wire([]byte(c.octets))})
			if c.found == "" && err != nil || c.found != "" && (err == nil || !strings.Contains(err.Error(), c.found)) {
				t.Errorf("found %v, want %q", err, c.found)
			}
		})
	}
}

// The demo is worth something only if it finds what is wrong.
func TestCompare(t *testing.T) {
	date := time.Date(2026, time.March, 4, 5, 6, 7, 0, time.UTC)
	want := []letter{{octets: []byte("one\n")}, {octets: []byte("two\n")}, {octets: []byte("two\n")}, {[]byte("two\n"), "RS", date}}
	for name, c := range map[string]struct {
		spoil func(dir string) error
		found string
	}{
		"as sent": {func(string) error { return nil }, ""},
		"read":    {func(dir string) error { return os.Rename(dir+"/new/0", dir+"/cur/0:2,S") }, `lacks a message of 4 octets with the flags "": "one\n"`},
		"unread":  {func(dir string) error { return os.Rename(dir+"/cur/3:2,RS", dir+"/new/3") }, `lacks a message of 4 octets with the flags "RS": "two\n"`},
		"aged":    {func(dir string) error { return os.Chtimes(dir+"/cur/3:2,RS", date, date.Add(time.Hour)) }, "cur/3:2,RS was not sent like this"},
		"missing": {func(dir string) error { return os.Remove(dir + "/new/1") }, `lacks a message of 4 octets with the flags "": "two\n"`},
		"changed": {func(dir string) error { return os.WriteFile(dir+"/new/0", []byte("One\n"), 0o600) }, `new/0 was not sent like this`},
		"doubled": {func(dir string) error { return os.WriteFile(dir+"/new/4", []byte("one\n"), 0o600) }, "not so often"},
		"tmp":     {func(dir string) error { return os.WriteFile(dir+"/tmp/4", nil, 0o600) }, "4 was left in tmp/"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"tmp", "new", "cur"} {
				if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for i, l := range want {
				path := filepath.Join(dir, "new", strconv.Itoa(i))
				if l.flags != "" {
					path = filepath.Join(dir, "cur", strconv.Itoa(i)+":2,"+l.flags)
				}
				if err := errors.Join(os.WriteFile(path, l.octets, 0o600), os.Chtimes(path, l.date, l.date)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			err := compare(dir, want)
			switch {
			case c.found == "" && err != nil:
				t.Error(err)
			case c.found != "" && (err == nil || !strings.Contains(err.Error(), c.found)):
				t.Errorf("found %v, want %s", err, c.found)
			}
		})
	}
}

func TestReadHeader(t *testing.T) {
	for message, want := range map[string]header{
		"From: Ada <ada@example.org>\nSubject: plain\n\nbody\n":                              {"Ada", "plain"},
		"From: ada@example.org\n\nSubject: of the body\n":                                    {"ada@example.org", ""},
		"From: =?koi8-r?B?4c7OwQ==?= <anna@example.org>\nSubject: =?utf-8?Q?gr=C3=BCn?=\n\n": {"Анна", "grün"},
		"From: no address at all\nSubject: =?x-unknown?Q?a?=\n\n":                            {"no address at all", "=?x-unknown?Q?a?="},
		"Subject: before\nthis is no field\nFrom: x@example.org\n\n":                         {"", "before"},
		"":         {"", ""},
		"\x00\xff": {"", ""},
	} {
		if got := readHeader([]byte(message)); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

func TestColumn(t *testing.T) {
	for text, want := range map[string]string{
		"":           "-   ",
		"ab":         "ab  ",
		"abcdef":     "abcd",
		"山山山":        "山山",
		"a山山":        "a山 ",
		"e\u0301e":   "e\u0301e  ",
		"\x1b[2J":    "?[2J",
		"\u202eabcd": "?abc",
	} {
		if got := column(text, 4); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
