//go:build linux

package main_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Flags become those of Maildir, and the time of arrival that of the file.
func TestRealIMAPFlags(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	cases := []struct{ flags, name string }{
		{``, `new/`},
		{`\Seen`, `cur/:2,S`},
		{`\Seen \Answered`, `cur/:2,RS`},
		{`\Draft \Seen \Flagged $Forwarded \Answered`, `cur/:2,DFPRS`},
		{`\Seen $Forwarded`, `cur/:2,PS`},
		{`\Deleted \Seen`, `cur/:2,S`},
		{`\Seen $Other own`, `cur/:2,S`},
		{`\Flagged`, `new/`}, // unseen mail is new, whatever else it is
	}
	date := time.Date(2003, 12, 31, 23, 59, 58, 0, time.FixedZone("", 5*3600+1800))
	for _, server := range realIMAPServers() {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := server.start(t)
			s.AddUser(t, "ada", realPassword)
			c := s.Session(t, "ada", realPassword)
			for i, test := range cases {
				c.Append("INBOX", test.flags, date.AddDate(i, 0, 0), note(fmt.Sprint("case ", i)))
			}
			p := newIMAPPostrider(t, binary, imapAccount{name: "work", server: s, user: "ada"})
			p.mustFetch()
			files := p.folders("work")["INBOX"]
			if len(files) != len(cases) {
				t.Fatalf("%d files", len(files))
			}
			for _, file := range files {
				_, after, _ := bytes.Cut(file.octets, []byte("Subject: case "))
				i := int(after[0] - '0')
				sub, name := filepath.Base(filepath.Dir(file.path)), filepath.Base(file.path)
				info := ""
				if at := strings.IndexByte(name, ':'); at >= 0 {
					info = name[at:]
				}
				if got := sub + "/" + info; got != cases[i].name {
					t.Errorf("%q became %s, want %s", cases[i].flags, got, cases[i].name)
				}
				stat, err := os.Stat(file.path)
				if err != nil {
					t.Fatal(err)
				}
				if want := date.AddDate(i, 0, 0); !stat.ModTime().Equal(want) {
					t.Errorf("%q has the time %v, want %v", cases[i].flags, stat.ModTime(), want)
				}
			}
		})
	}
}
