package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/mailtest"
)

// hostileNames are mailboxes that want to be somewhere else, in the octets of
// LIST.
func hostileNames() []string {
	return []string{
		`"../../../../tmp/evil"`, `"/etc/passwd"`, `"a/../../b"`, `"./x"`, `".hidden"`, `"a//b"`, `"a/"`, `"tmp"`, `"new/cur"`, `"x/tmp"`, `"Cur"`,
		`"back\\slash"`, `"qu\"ote"`, "`touch evil`", `"$(touch evil)"`, `"; touch evil"`, `"-rf"`, `"~root"`, `" lead"`, `"trail "`, `"%2e%2e"`, `"%n%s"`,
		"{7}\r\na\r\nb\x1b[m", "{5}\r\nnu\x00l!", "{4}\r\n\xff\xfe\x80\x81", `"&AC4ALgAv-x"`, `"&broken"`, `"&2D3YAA-"`, `"&ZeVnLIqe-"`,
		`"Case"`, `"case"`, `"CASE"`, `"inbox/x"`, `"Inbox"`, `"INBOX"`, "\"caf\xc3\xa9\"", "\"cafe\xcc\x81\"", `"lost+found"`, `".postrider"`, `".postrider/state.db"`,
		`"` + strings.Repeat("long", 2500) + `"`, `"` + strings.Repeat("deep/", 2000) + `x"`, `""`, `NIL`, `"*"`, `"%"`, `"a*b"`, "\"\xe2\x80\xaegnp.exe\"",
	}
}

// nameServer lists names as they are and opens each of them as if it were the
// mailbox of one letter.
func nameServer(t *testing.T, names []string) *mailtest.IMAP {
	t.Helper()
	return startIMAP(t, mailtest.IMAPOptions{Without: []string{"LIST-EXTENDED", "LIST-STATUS", "UTF8=ACCEPT"}, Hook: func(e *mailtest.IMAPEvent) {
		switch e.Verb {
		case "LIST":
			e.Edit(func([]byte) []byte {
				var b bytes.Buffer
				for _, name := range names {
					fmt.Fprintf(&b, "* LIST () \"/\" %s\r\n", name)
				}
				fmt.Fprintf(&b, "%s OK done\r\n", e.Tag)
				return b.Bytes()
			})
		case "EXAMINE", "SELECT":
			e.Edit(func([]byte) []byte {
				return []byte("* 1 EXISTS\r\n* OK [UIDVALIDITY 9] x\r\n* OK [UIDNEXT 2] x\r\n" + e.Tag + " OK [READ-ONLY] open\r\n")
			})
		case "UID FETCH":
			e.Edit(func([]byte) []byte {
				row := "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 10"
				if isText(e) {
					row += " BODY[] {10}\r\nA: b\r\n\r\nc\n"
				}
				return []byte(row + ")\r\n" + e.Tag + " OK done\r\n")
			})
		}
	}})
}

// TestT24IMAPFolderNames: whatever the server calls its mailboxes, all that is
// written is below the root, each has a folder of its own, and no name keeps
// the others from coming. T25: nor does any reach a shell.
func TestT24IMAPFolderNames(t *testing.T) {
	t.Parallel()
	s := nameServer(t, hostileNames())
	h := newHostileIMAP(t, imapBox{port: s.Port(), folders: `["*"]`, extra: "timeout: 2s"})
	before := tree(t, h.dir)
	o := h.run("fetch")
	if o.code != exitOK {
		t.Errorf("exit code %d: %s", o.code, clippedTo(o.stderr, 3000))
	}
	for i := range len(o.stdout + o.stderr) {
		if c := (o.stdout + o.stderr)[i]; c < ' ' && c != '\n' || c == 0x7f {
			t.Fatalf("octet %#x came through to the terminal: %q", c, (o.stdout + o.stderr)[max(0, i-40):i+10])
		}
	}
	if text := o.stdout + o.stderr; strings.Contains(text, "\u202e") || strings.Contains(text, "\xff") {
		t.Error("the server's text came through to the terminal")
	}
	for _, path := range tree(t, h.dir) {
		if slices.Contains(before, path) {
			continue
		}
		rel, err := filepath.Rel(h.dir, path)
		if err != nil || !strings.HasPrefix(rel, "Mail") && !strings.HasPrefix(rel, "state") {
			t.Errorf("written outside of the root: %q", path)
		}
	}
	places := map[string]string{}
	for place, texts := range h.kept() {
		for text, n := range texts {
			if n != 1 || text != "A: b\n\nc\n" {
				t.Errorf("%s: %d of %q", place, n, text)
			}
		}
		if other := places[strings.ToLower(place)]; other != "" {
			t.Errorf("%q and %q are one for a file system that does not mind case", place, other)
		}
		places[strings.ToLower(place)] = place
		for part := range strings.SplitSeq(place, "/") {
			if part == "." || part == ".." || strings.HasPrefix(part, ".") || part == "tmp" || part == "new" || part == "cur" || len(part) > 255 {
				t.Errorf("part %q of a place", part)
			}
		}
	}
	if len(places) < len(hostileNames())-5 {
		t.Errorf("%d mailboxes of %d have come", len(places), len(hostileNames()))
	}
	h.run("fetch").wants(exitOK).brings(0)
	if out := h.run("check", "--online"); strings.ContainsAny(out.stdout+out.stderr, "\x1b\x00\r") {
		t.Error("the server's text came through to the terminal")
	}
}

func clippedTo(s string, n int) string { return s[:min(len(s), n)] }

// tree returns all paths below a directory.
func tree(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestT25NamesReachNoShell: a command for the password is run, and no name is in
// its arguments or its environment.
func TestT25NamesReachNoShell(t *testing.T) {
	t.Parallel()
	s := nameServer(t, []string{"INBOX", "`touch evil`", `"$(touch evil)"`, `"'; touch evil; '"`, `"|touch evil"`})
	h := newHostile(t)
	h.save(filepath.Join(h.dir, "secret.sh"), "#!/bin/sh\nenv > "+filepath.Join(h.dir, "env")+"\necho \"$0 $*\" >> "+filepath.Join(h.dir, "env")+"\nprintf '%s\\n' "+shellQuoted(hostilePassword)+"\n")
	h.writeIMAP(imapBox{port: s.Port(), folders: `["*"]`, password: "{command: [/bin/sh, " + filepath.Join(h.dir, "secret.sh") + "]}"})
	h.run("fetch").wants(exitOK).brings(5)
	if text := h.read(filepath.Join(h.dir, "env")); strings.Contains(text, "evil") {
		t.Errorf("the command has seen %q", text)
	}
	for _, path := range tree(t, h.dir) {
		if filepath.Base(path) == "evil" {
			t.Errorf("%s was made", path)
		}
	}
	if _, err := os.Stat("evil"); err == nil {
		t.Error("evil was made here")
	}
}

// TestT38IMAPEndlessList: a million mailboxes end the session and make no folder.
func TestT38IMAPEndlessList(t *testing.T) {
	t.Parallel()
	for _, folders := range []string{`["*"]`, "[INBOX, a, b]"} {
		t.Run(folders, func(t *testing.T) {
			t.Parallel()
			s := startIMAP(t, mailtest.IMAPOptions{Hook: onIMAP("LIST", func(e *mailtest.IMAPEvent) {
				e.Edit(func([]byte) []byte {
					var b bytes.Buffer
					for i := range 1_000_000 {
						fmt.Fprintf(&b, "* LIST () \"/\" \"box %d\"\r\n", i)
					}
					return b.Bytes()
				})
			})}, letters(1)...)
			h := newHostileIMAP(t, imapBox{port: s.Port(), folders: folders})
			h.run("fetch").wants(exitUnavailable, "too many mailboxes")
			h.run("check", "--online").wants(exitUnavailable, "too many mailboxes")
			if n := len(names(t, h, "")); n > 1 {
				t.Errorf("%d directories were made", n)
			}
		})
	}
}
