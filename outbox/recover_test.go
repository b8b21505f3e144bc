package outbox

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A power cut at every step that the session or the log tells of: nobody gets a
// message twice, none is lost, and only what was between the final dot and the
// record of its reply is uncertain. Reports and copies come once.
func TestT79CutAtEveryStep(t *testing.T) {
	for _, resend := range []bool{false, true} {
		t.Run(fmt.Sprint("resend ", resend), func(t *testing.T) {
			b := newBox(t)
			b.resend = resend
			b.restart()
			for i, m := range [][]string{{"one", "a"}, {"two", "a", "hard", "soft"}, {"refuse", "a"}, {"defer", "a"}, {"lost", "a"}, {"three", "a"}} {
				b.drop(fmt.Sprint(i, ".eml"), letterTo(m[0], m[1:]...))
			}
			b.drop("bad", "no header")
			type cut struct {
				name string
				box  *box
			}
			var cuts []cut
			snap := func(what string) { cuts = append(cuts, cut{fmt.Sprint(len(cuts), " ", what), b.copied(t)}) }
			b.mustPickup(false) // many at once: no moment of it can be copied whole
			b.event, b.server.event = snap, snap
			b.mustPass()
			snap("end")
			b.close()
			if len(cuts) < 25 {
				t.Errorf("only %d cuts", len(cuts))
			}
			for _, c := range cuts {
				t.Run(c.name, func(t *testing.T) { c.box.goOn(t, resend) })
			}
		})
	}
}

// goOn sends what is left after a crash, and counts.
func (b *box) goOn(t *testing.T, resend bool) {
	b.open()
	b.server.tampers = func(subject string) string {
		if subject == "refuse" {
			return "refuse"
		}
		return ""
	}
	for range 3 {
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
		b.mustPass()
	}
	items, err := b.List()
	if err != nil {
		t.Fatal(err)
	}
	uncertain := map[string]bool{}
	for _, it := range items {
		if it.State == Deferred && it.Subject == "two" {
			continue
		}
		if it.State != Uncertain {
			t.Errorf("%s is %s", it.Subject, it.State)
		}
		uncertain[it.Subject] = true
	}
	if len(uncertain) > 2 || resend && len(uncertain) > 0 {
		t.Errorf("uncertain: %v", uncertain)
	}
	got := map[string]int{}
	for _, g := range b.server.got {
		got[g]++
	}
	for _, m := range []string{"one a", "two a", "defer a", "lost a", "three a"} {
		subject, _, _ := strings.Cut(m, " ")
		n := got[m]
		if n == 0 && !uncertain[subject] || n > 1 && !resend || n > 2 {
			t.Errorf("%s came %d times", m, n)
		}
	}
	refused := !uncertain["refuse"]
	if refused {
		equal(t, "failed/", b.files("failed"), "2.eml 2.eml.why.txt bad bad.why.txt")
	}
	equal(t, "outbox", b.files(), "failed")
	// Once each, but for those of a resent message, which are about another attempt.
	copies := strings.Join(b.folder("work/Sent"), "")
	for _, subject := range []string{"one", "two", "defer", "lost", "three"} {
		n := strings.Count(copies, "Subject: "+subject+"\n")
		if n > 1 || n == 0 && !uncertain[subject] {
			t.Errorf("%d copies of %s", n, subject)
		}
	}
	letters := strings.Join(b.folder("work/INBOX"), "")
	equal(t, "reports on refuse", strings.Count(letters, "Subject: Not sent: refuse\n"), boolean(refused))
	if n := strings.Count(letters, "Final-Recipient: rfc822; hard"); n != 1 && !uncertain["two"] {
		t.Errorf("%d reports on hard", n)
	}
	for subject := range uncertain {
		equal(t, "letters about "+subject, strings.Count(letters, "Subject: Perhaps sent: "+subject+"\n"), 1)
	}
}

// Whatever stops what follows from an outcome, the message is not sent again,
// and all of it follows once it can.
func TestOutcomeThatCannotBeSettled(t *testing.T) {
	for _, tt := range []struct{ name, subject, inTheWay string }{
		{"sent", "one", "work/Sent"},
		{"uncertain", "lost", "work/INBOX"},
		{"failed", "refuse", "work/INBOX"},
		{"failed/", "refuse", ""},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.name, restart), func(t *testing.T) {
				b := newBox(t)
				b.drop("x", letterTo(tt.subject, "a"))
				way := b.mail(tt.inTheWay)
				if tt.inTheWay == "" {
					way = b.outbox("failed")
				}
				os.MkdirAll(b.mail("work"), 0o700)
				if err := os.WriteFile(way, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				b.drop("other", strings.ReplaceAll(letterTo("other", "a"), "ada@example.org", "ada@home.example"))
				if r, err := b.pass(); err == nil && r.Err == nil {
					t.Errorf("no error: %+v", r)
				}
				for range 2 {
					if restart {
						b.restart()
					}
					if r, err := b.pass(); err == nil && r.Err == nil {
						t.Errorf("no error: %+v", r)
					}
				}
				if err := os.Remove(way); err != nil {
					t.Fatal(err)
				}
				b.mustPass()
				got := strings.Count(b.server.accepted(), tt.subject+" a")
				switch tt.subject {
				case "one":
					equal(t, "accepted", got, 1)
					equal(t, "copies", len(b.folder("work/Sent")), 1)
					equal(t, "queue", b.queue(), "")
				case "lost":
					equal(t, "accepted", got, 1)
					equal(t, "queue", b.queue(), "uncertain lost")
					equal(t, "letters", len(b.folder("work/INBOX")), 1)
				case "refuse":
					equal(t, "failed/", b.files("failed"), "x x.why.txt")
					equal(t, "reports", len(b.folder("work/INBOX")), 1)
					equal(t, "queue", b.queue(), "")
				}
				if !strings.Contains(b.server.accepted(), "other a") {
					t.Error("it held up another account")
				}
			})
		}
	}
}

// A crash at every step of giving a message back.
func TestCrashInGiveBack(t *testing.T) {
	for name, do := range map[string]func(b *box, dir string) error{
		"text written": func(b *box, dir string) error {
			return os.WriteFile(b.outbox("failed", "x.why.txt"), whyText("x", "  a@b.example: 554 5.7.1 no", "554 5.7.1 no"), 0o600)
		},
		"draft written": func(b *box, dir string) error {
			return os.WriteFile(b.outbox("failed", "."+dir[len(dir)-16:]+".tmp"), []byte("half"), 0o600)
		},
		"message moved": func(b *box, dir string) error {
			if err := os.WriteFile(b.outbox("failed", "x.why.txt"), nil, 0o600); err != nil {
				return err
			}
			return os.Rename(dir+"/message", b.outbox("failed", "x"))
		},
		"envelope gone": func(b *box, dir string) error {
			os.WriteFile(b.outbox("failed", "x.why.txt"), nil, 0o600)
			os.Rename(dir+"/message", b.outbox("failed", "x"))
			return os.Remove(dir + "/envelope")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.drop("x", letterTo("refuse", "a"))
			var cut *box
			b.event = func(what string) {
				if what == "failed" {
					cut = b.copied(t)
				}
			}
			b.mustPass()
			b.close()
			if err := os.Mkdir(cut.outbox("failed"), 0o700); err != nil {
				t.Fatal(err)
			}
			ids, err := os.ReadDir(cut.outbox(spoolName, "active"))
			if err != nil || len(ids) != 1 {
				t.Fatal(ids, err)
			}
			if err := do(cut, cut.outbox(spoolName, "active", ids[0].Name())); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				cut.open()
				cut.mustPass()
				equal(t, "failed/", cut.files("failed"), "x x.why.txt")
				equal(t, "queue", cut.queue(), "")
				equal(t, "reports", len(cut.folder("work/INBOX")), 1)
				cut.close()
			}
		})
	}
}

// A crash at every step of making an item of a file.
func TestCrashInPickup(t *testing.T) {
	b := newBox(t)
	text := letterTo("one", "a")
	b.drop("x", text)
	b.mustPickup(false)
	it := b.only()
	made, err := os.ReadFile(b.spool.path(Active, it.ID, recordName))
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]map[string]string{
		"directory":          {},
		"claimed":            {"=x": text},
		"half an envelope":   {"=x": text, "envelope.new": "{"},
		"envelope":           {"=x": text, "envelope": string(made)},
		"all but the rename": {"message": text, "envelope": string(made)},
		"given back":         {"envelope": string(made)},
		"of a sendmail":      {"message": text[:20]},
		"at its end":         {"message": text, "envelope": strings.Replace(string(made), `"name": "x"`, `"name": ""`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			dir := b.spool.path(Incoming, it.ID)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			b.restart()
			queued, sent := "", ""
			if strings.Contains(name, "claimed") || strings.Contains(name, "envelope") || name == "all but the rename" {
				queued, sent = "active one", "one a"
			}
			equal(t, "queue", b.queue(), queued)
			b.mustPass()
			equal(t, "accepted", b.server.accepted(), sent)
		})
	}
}

// With the ledger lost, nobody who got a message gets it again, and no copy or
// report is made again.
func TestLostLedger(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a", "hard", "soft"))
	b.drop("y", letterTo("silent", "a", "hard"))
	b.mustPass()
	b.close()
	for _, dir := range []string{b.mail(".postrider"), b.dir + "/state"} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	b.open()
	items, err := b.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if err := b.Retry(it.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.server.tampers = func(string) string { return "" }
	b.mustPass()
	equal(t, "accepted", b.server.accepted(), "one a, silent a")
	equal(t, "reports and letters", len(b.folder("work/INBOX")), 3)
	equal(t, "copies", len(b.folder("work/Sent")), 2)
}

// An attempt that ended with the process counts, so that a process that dies of
// it again and again does not hammer the server.
func TestT83CrashLoop(t *testing.T) {
	b := newBox(t)
	b.drop("x", letterTo("one", "a"))
	for n := 1; n <= 3; n++ {
		var cut *box
		b.server.event = func(what string) {
			if what == "given" {
				cut = b.copied(t)
			}
		}
		b.mustPass()
		b.close()
		if b = cut; b == nil {
			t.Fatal("nothing was sent")
		}
		b.open()
		equal(t, "dials", b.server.dials, 0)
		equal(t, "waiting", b.mustPass(), Report{})
		equal(t, "dials", b.server.dials, 0)
		if it := b.only(); it.State != Deferred || it.Attempts != n {
			t.Errorf("crash %d: %s, %d attempts", n, it.State, it.Attempts)
		}
		if err := b.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "sent", b.mustPass().Sent, 1)
}
