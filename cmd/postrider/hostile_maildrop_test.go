package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"postrider/mailtest"
)

func TestT22LargeMaildrop(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{})
	m := letters(1)[0]
	for i := range 100_000 {
		s.Mailbox("ada").Add(fmt.Sprintf("u%d", i), m)
	}
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "max_size: 1B"})
	h.log = "{level: info}"
	h.write(hostileAccount{port: s.Port(), extra: "max_size: 1B"})
	o := h.run("fetch").wants(exitOK).says(`100000 messages left on the server as too large`)
	if n := strings.Count(o.stderr, "\n"); n > 2 {
		t.Errorf("%d lines on stderr", n)
	}
}

// TestT23Modes is not parallel: the umask is the process's.
func TestT23Modes(t *testing.T) {
	s := startPOP3(t, mailtest.POP3Options{}, letters(2)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	defer syscall.Umask(syscall.Umask(0))
	h.run("fetch").wants(exitOK)
	for _, root := range []string{h.mail(), h.env["XDG_STATE_HOME"]} {
		err := filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestT26EndlessLine(t *testing.T) {
	t.Parallel()
	endless := bytes.Repeat([]byte("x"), 1<<20)
	for _, verb := range []string{"GREETING", "CAPA", "PASS", "LIST", "UIDL"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Hook: on(verb, func(e *mailtest.POP3Event) {
				e.Edit(func([]byte) []byte { return append([]byte("+OK "), endless...) })
			})}, letters(1)...)
			h := newHostile(t, hostileAccount{port: s.Port()})
			h.run("fetch").wants(exitUnavailable, "longer than 64 KiB")
			h.holds("work")
		})
	}
}

// TestT27AnnouncedSizes: what is announced decides nothing about memory.
func TestT27AnnouncedSizes(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "-1", "0x10", "1e3", ""} {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Hook: on("LIST", func(e *mailtest.POP3Event) {
				e.Rows(func(row string) string { return strings.Fields(row)[0] + " " + size })
			})}, letters(2)...)
			h := newHostile(t, hostileAccount{port: s.Port()})
			h.run("fetch").wants(exitOK)
			h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
			h.holds("work", letters(2)...)
		})
	}
}

func TestT28EndlessList(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{Hook: on("CAPA", func(e *mailtest.POP3Event) {
		e.Edit(func([]byte) []byte {
			return append([]byte("+OK\r\n"), bytes.Repeat([]byte("CAPABILITY\r\n"), 1<<16)...)
		})
	})}, letters(1)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitUnavailable, "the list is too long")
}

// TestT32OddMessages: whatever a message is, its octets arrive.
func TestT32OddMessages(t *testing.T) {
	t.Parallel()
	messages := [][]byte{
		[]byte("no header at all\r\n"), []byte("\r\n"), []byte("a\x00b\r\n\x00\r\n"), []byte("Subject: cr\rlf\n.\n..\r\n\r\nx\r\n"),
		[]byte(".\r\n"), []byte("..\r\n.\r\n...\r\n"), append(append([]byte("X: "), bytes.Repeat([]byte("y"), 10<<20)...), "\r\n\r\nz\r\n"...),
	}
	for _, m := range mailtest.Embedded() {
		if wire := mailtest.Wire(m.Octets); len(wire) > 0 {
			messages = append(messages, wire)
		}
	}
	for _, pipelining := range []bool{true, false} {
		s := startPOP3(t, mailtest.POP3Options{NoPipelining: !pipelining}, messages...)
		h := newHostile(t, hostileAccount{port: s.Port()})
		h.run("fetch").wants(exitOK)
		h.holds("work", messages...)
		if early := s.Counts().Early; early != 0 {
			t.Errorf("%d octets came too early", early)
		}
	}
}

// TestT34NothingInsteadOfAMessage: a server that sends nothing has not given
// the message, and it is neither delivered nor removed.
func TestT34NothingInsteadOfAMessage(t *testing.T) {
	t.Parallel()
	var good atomic.Bool
	s := startPOP3(t, mailtest.POP3Options{Hook: func(e *mailtest.POP3Event) {
		if e.Verb == "RETR" && e.UID == "uid-2" && !good.Load() {
			e.Serve(nil)
		}
	}}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	h.run("fetch").wants(exitTemporary, "the server sent nothing", `1 message could not be fetched and is tried again later; the first \(uid-2\)`)
	h.holds("work", letters(3)[0], letters(3)[2])
	if n := s.Mailbox("ada").Len(); n != 1 {
		t.Errorf("%d left on the server, want the one", n)
	}
	good.Store(true)
	h.run("fetch").wants(exitOK)
	h.holds("work", letters(3)...)
}

// TestT41OneBadAccount: malformed lists of one account touch no other, and the
// good lines of a bad list count.
func TestT41OneBadAccount(t *testing.T) {
	t.Parallel()
	bad := startPOP3(t, mailtest.POP3Options{Hook: func(e *mailtest.POP3Event) {
		if e.Verb == "LIST" || e.Verb == "UIDL" {
			e.Rows(func(row string) string {
				if strings.HasPrefix(row, "2 ") {
					return "zwei \x1b[31m??\r\n-1 -1\r\n99999999999999999999 x\r\n0 0"
				}
				return row
			})
		}
	}}, letters(3)...)
	broken := startPOP3(t, mailtest.POP3Options{Hook: on("LIST", func(e *mailtest.POP3Event) { e.Reply("* OK what?") })}, letters(1)...)
	good := startPOP3(t, mailtest.POP3Options{}, letters(5)...)
	h := newHostile(t, hostileAccount{name: "bad", port: bad.Port()}, hostileAccount{name: "broken", port: broken.Port()}, hostileAccount{name: "good", port: good.Port()})
	h.run("fetch").wants(exitUnavailable, "account broken: ").says("7 new messages")
	h.holds("good", letters(5)...)
	h.holds("bad", letters(3)[0], letters(3)[2])
	h.run("fetch", "good", "bad").wants(exitOK).says("(?m)^0 new messages")
}

func TestT42ServerOnlyClaimsToRemove(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{Hook: on("QUIT", func(e *mailtest.POP3Event) { e.Pretend() })}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	for range 3 {
		h.run("fetch").wants(exitOK)
	}
	h.holds("work", letters(3)...)
	if n := s.Counts().Commands["RETR"]; n != 3 {
		t.Errorf("%d messages were retrieved, want each once", n)
	}
}

// TestT43SizesOver32Bits: sizes that no message has are hints like any other.
func TestT43SizesOver32Bits(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{Hook: on("LIST", func(e *mailtest.POP3Event) {
		e.Size(func(number int, octets int64) int64 {
			return []int64{1 << 31, 1<<32 - 1, 1<<32 + octets, 1 << 53, 1<<63 - 1}[number%5]
		})
	})}, letters(10)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK).says("10 new messages")
	h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
	h.holds("work", letters(10)...)
}

func TestT44SameUIDLTwice(t *testing.T) {
	t.Parallel()
	o := mailtest.ProfilePOPDupUIDL()
	s := startPOP3(t, o, letters(40)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK)
	h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
	h.holds("work", letters(40)...)
	s.Mailbox("ada").Add("late", []byte("Subject: late\r\n\r\nI share a UIDL.\r\n"))
	h.run("fetch").wants(exitOK).says("1 new message ")
}

func TestT45NewUIDLsAtEachLogin(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.ProfilePOPNewUIDs(), letters(9)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK).says("9 new messages")
	h.run("fetch").wants(exitOK, "comparing contents").says("(?m)^0 new messages")
	s.Mailbox("ada").Add("x", []byte("Subject: late\r\n\r\nlate\r\n"))
	h.run("fetch").wants(exitOK).says("1 new message ")
	h.holds("work", append(letters(9), []byte("Subject: late\r\n\r\nlate\r\n"))...)
}

func TestT46UIDLUsedAgain(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(2)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK)
	s.Mailbox("ada").Remove("uid-1")
	other := []byte("Subject: another message\r\n\r\nunder a name that is not new\r\n")
	s.Mailbox("ada").Add("uid-1", other)
	h.run("fetch").wants(exitOK).says("1 new message ")
	h.holds("work", append(letters(2), other)...)
}

// TestT47NumbersShift: between two sessions messages go, and the numbers of
// the others change; the right ones are removed.
func TestT47NumbersShift(t *testing.T) {
	t.Parallel()
	var refuse atomic.Bool
	refuse.Store(true)
	s := startPOP3(t, mailtest.POP3Options{Hook: on("RETR", func(e *mailtest.POP3Event) {
		if e.UID == "uid-4" && refuse.Load() {
			e.Refuse("[SYS/TEMP] not now")
		}
	})}, letters(4)...)
	h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete"})
	h.run("fetch").wants(exitTemporary, "not now")
	if left := s.Mailbox("ada").Messages(); len(left) != 1 || left[0].UID != "uid-4" {
		t.Fatalf("left: %v", left)
	}
	refuse.Store(false)
	h.run("fetch").wants(exitOK).says("1 message removed")
	h.holds("work", letters(4)...)
}

func TestT48OddUIDLs(t *testing.T) {
	t.Parallel()
	for name, uid := range map[string]string{"spaces": "a b  c", "long": strings.Repeat("u", 900), "slash": "../../../etc/passwd", "eight bits": "\xc3\xa4\xff", "percent": "%s%n", "control": "a\x1b[2Jb", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startPOP3(t, mailtest.POP3Options{Hook: func(e *mailtest.POP3Event) {
				switch e.Verb {
				case "UIDL":
					e.Rows(func(row string) string { return strings.Fields(row)[0] + " " + uid })
				case "RETR":
					if e.Nth == 1 {
						e.Refuse("no")
					}
				}
			}}, letters(3)...)
			h := newHostile(t, hostileAccount{port: s.Port()})
			o := h.run("fetch").wants(exitTemporary)
			if text := o.stderr + o.stdout; strings.Contains(text, "\x1b") || strings.Contains(text, "\xff") {
				t.Errorf("the server's text came through: %q", o.stderr)
			}
			for range 4 {
				h.run("fetch")
			}
			got := h.folder("work")
			for text, n := range got {
				if n != 1 {
					t.Errorf("%d copies of %q", n, text)
				}
			}
			if len(got) < 2 {
				t.Errorf("only %d messages came", len(got))
			}
		})
	}
}

func TestT48NoUIDL(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.ProfilePOPNoUIDL(), letters(5)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK).says("5 new messages")
	h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
	s.Mailbox("ada").Remove("uid-2")
	h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
	h.holds("work", letters(5)...)
}

// TestT48UIDLIsRefused: a server that has UIDL and refuses it today is not one
// without: nothing is fetched again.
func TestT48UIDLIsRefused(t *testing.T) {
	t.Parallel()
	var refusing atomic.Bool
	s := startPOP3(t, mailtest.POP3Options{Hook: on("UIDL", func(e *mailtest.POP3Event) {
		if refusing.Load() {
			e.Refuse("index is being rebuilt")
		}
	})}, letters(3)...)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK)
	refusing.Store(true)
	h.run("fetch").wants(exitUnavailable, "announced UIDL and refuses it")
	refusing.Store(false)
	h.run("fetch").wants(exitOK).says("^0 new messages")
	if n := s.Counts().Commands["RETR"]; n != 3 {
		t.Errorf("%d messages were retrieved, want each once", n)
	}
	h.holds("work", letters(3)...)
}

func TestT49OddEnds(t *testing.T) {
	t.Parallel()
	messages := append(letters(2), []byte(".\r\n..\r\n...\r\n"))
	t.Run("bare LF", func(t *testing.T) {
		t.Parallel()
		s := startPOP3(t, mailtest.ProfilePOPLF(), messages...)
		h := newHostile(t, hostileAccount{port: s.Port()})
		h.run("fetch").wants(exitOK)
		h.holds("work", messages...)
	})
	t.Run("no final dot", func(t *testing.T) {
		t.Parallel()
		s := startPOP3(t, mailtest.ProfilePOPNoDot(), []byte("Subject: 1\r\n\r\none\r\n"), []byte("Subject: 2\r\n\r\ntwo\r\n"))
		h := newHostile(t, hostileAccount{port: s.Port(), extra: "timeout: 1s"})
		o := h.run("fetch")
		if o.code == exitOK {
			t.Errorf("exit code 0: %s%s", o.stdout, o.stderr)
		}
		h.holds("work")
	})
}

func TestT50QuitIsNotConfirmed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*mailtest.POP3Event){
		"refused":         func(e *mailtest.POP3Event) { e.Refuse("some messages were not removed") },
		"silence":         func(e *mailtest.POP3Event) { e.Stall(0, 0) },
		"mute":            func(e *mailtest.POP3Event) { e.Mute() },
		"cut before":      func(e *mailtest.POP3Event) { e.Pretend(); e.Cut(0) },
		"reset afterward": func(e *mailtest.POP3Event) { e.Reset(0) },
		"nonsense":        func(e *mailtest.POP3Event) { e.Reply("bye") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first atomic.Bool
			first.Store(true)
			s := startPOP3(t, mailtest.POP3Options{Hook: on("QUIT", func(e *mailtest.POP3Event) {
				if first.Load() {
					spoil(e)
				}
			})}, letters(3)...)
			h := newHostile(t, hostileAccount{port: s.Port(), extra: "on_server: delete\ntimeout: 1s"})
			o := h.run("fetch")
			if o.code != exitUnavailable && o.code != exitTemporary || !strings.Contains(o.stderr, "did not confirm") {
				t.Errorf("exit code %d: %s", o.code, o.stderr)
			}
			first.Store(false)
			h.run("fetch").wants(exitOK).says("(?m)^0 new messages")
			h.holds("work", letters(3)...)
			if n := s.Mailbox("ada").Len(); n != 0 {
				t.Errorf("%d left on the server", n)
			}
		})
	}
}

// TestT90MailIsNeverAPath: nothing in a message has a say in a file's name.
func TestT90MailIsNeverAPath(t *testing.T) {
	t.Parallel()
	m := []byte("Subject: ../../../%s%n $(touch /tmp/x) `id`\r\nMessage-ID: </etc/passwd>\r\nFrom: |cmd\r\n\r\nx\r\n")
	s := startPOP3(t, mailtest.POP3Options{})
	s.Mailbox("ada").Add("../%2e%2e/x;y", m)
	h := newHostile(t, hostileAccount{port: s.Port()})
	h.run("fetch").wants(exitOK)
	entries, err := os.ReadDir(filepath.Join(h.mail(), "work", "INBOX", "new"))
	if err != nil || len(entries) != 1 || strings.ContainsAny(entries[0].Name(), "/%$`;| ") {
		t.Errorf("%v, %v", entries, err)
	}
	h.holds("work", m)
}
