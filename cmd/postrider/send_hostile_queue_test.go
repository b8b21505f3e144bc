package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/mailtest"
)

// ids returns the names of what is in a state, oldest first.
func (h *sendingHome) ids(state string) []string { return h.files(".spool", state) }

// TestQueueVerbs goes through all of them, end to end.
func TestQueueVerbs(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("RCPT", func(e *mailtest.SMTPEvent) {
		if strings.Contains(e.Arg, "soft") && e.Session < 3 {
			e.Refuse(450, "4.2.1 later")
		}
	})})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.pipe("", "queue").wants(exitOK).says("^the queue is empty\n$")
	for _, to := range []string{"one@example.com", "two@example.com", "soft@example.com"} {
		h.pipe(noteTo("to "+to, to), "sendmail", "-t").wants(exitOK)
	}
	ids := h.ids("active")
	if len(ids) != 3 {
		t.Fatal(ids)
	}
	h.pipe("", "queue", "list").wants(exitOK).says(`(?s)ID +STATE +ACCOUNT.*` + ids[0] + ` +active +work .* now +one@example.com\n` + ids[1] + ".*" + ids[2])
	h.pipe("", "queue", "show", ids[0]).wants(exitOK).says(`(?s)^id: +` + ids[0] + `\nstate: +active\n.*from: +<ada@example.org>\nto: +<one@example.com> waiting\n.*\n\nFrom: ada@example.org\nTo: one@example.com\n`)

	// The beginning of a name is enough, if it is one's only.
	prefix := ids[0][:len(ids[0])-1]
	for n := 1; strings.HasPrefix(ids[1], prefix) || strings.HasPrefix(ids[2], prefix); n++ {
		prefix = ids[0][:len(ids[0])-1-n]
	}
	if common := commonPrefix(ids[0], ids[1]); common != "" {
		h.pipe("", "queue", "hold", common).wants(exitUsage, "more than one")
	}
	h.pipe("", "queue", "hold", prefix[:max(len(commonPrefix(ids[0], ids[1])), len(commonPrefix(ids[0], ids[2])))+1]).wants(exitOK)
	h.queued("active active held")
	h.pipe("", "queue", "hold", ids[0]).wants(exitOK)
	h.pipe("", "queue", "release", ids[1]).wants(exitUsage, "is not held")
	for _, verb := range []string{"show", "hold", "release", "retry", "cancel"} {
		h.pipe("", "queue", verb, "nosuchid").wants(exitUsage, `"nosuchid" is not in the queue`)
		h.pipe("", "queue", verb, "").wants(exitUsage, "is not in the queue")
		h.pipe("", "queue", verb, "../active/"+ids[0]).wants(exitUsage, "is not in the queue")
		h.pipe("", "queue", verb).wants(exitUsage, "wants one ID")
		h.pipe("", "queue", verb, ids[0], ids[1]).wants(exitUsage, "wants one ID")
	}
	h.pipe("", "queue", "frobnicate").wants(exitUsage)
	h.pipe("", "queue", "flush", ids[0]).wants(exitUsage)

	h.sends(exitTemporary)
	if m := got(t, s, 1); len(m) == 1 && m[0].To[0] != "two@example.com" {
		t.Errorf("to %v", m[0].To)
	}
	h.queued("deferred held")
	h.due() // does not release
	h.sends(exitTemporary)
	h.queued("deferred held")
	h.pipe("", "queue").says(ids[0] + ` +held .* - +one@example.com\n +held by hand`).says(ids[2] + ` +deferred .* in \d+[sm] +soft@example.com\n.*4\.2\.1 later`)
	h.pipe("", "queue", "release", ids[0]).wants(exitOK)
	h.pipe("", "queue", "retry", ids[2]).wants(exitOK)
	h.queued("active active")
	h.pipe("", "queue", "hold", ids[2]).wants(exitOK)
	h.sends(exitOK)
	got(t, s, 2)
	h.pipe("", "queue", "cancel", ids[2][:15]).wants(exitOK)
	h.queued("")
	// What was dropped by hand of the queue is not lost by a slip.
	if why := h.why(ids[2] + ".eml"); !strings.Contains(why, "by hand") || h.read(filepath.Join(h.outbox(), "failed", ids[2]+".eml")) != noteTo("to soft@example.com", "soft@example.com") {
		t.Errorf("%s", why)
	}
	h.pipe("", "queue", "cancel", ids[2]).wants(exitUsage, "is not in the queue")
	h.sends(exitOK)
	got(t, s, 2)
	faultless(t, s)
}

func commonPrefix(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// TestQueueOfUncertain: what the server may have is sent again, or not, only when
// the user says so; a policy may say it for him.
func TestQueueOfUncertain(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"hold", "resend"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			s := startSMTP(t, mailtest.SMTPOptions{Hook: onSMTP("DOT", func(e *mailtest.SMTPEvent) {
				if e.Session == 1 {
					e.Cut(0)
				}
			})})
			h := newSender(t, []sendAccount{{port: s.Port()}})
			h.accounts([]sendAccount{{port: s.Port()}}, fmt.Sprintf("outbox: {path: %q, uncertain: %s}", h.outbox(), policy))
			h.drop("a.eml", "From: ada@example.org\nTo: bob@example.com\n\nno identity of its own\n")
			h.sends(exitTemporary)
			if policy == "resend" {
				h.queued("deferred")
			} else {
				h.queued("uncertain")
				id := h.ids("uncertain")[0]
				h.pipe("", "queue").says(id + ` +uncertain .* - +bob@example.com`)
				h.pipe("", "queue", "hold", id).wants(exitUsage, "is uncertain and cannot be held")
				h.pipe("", "queue", "release", id).wants(exitUsage, "is not held")
				h.due()
				h.sends(exitOK)
				h.queued("uncertain")
				h.pipe("", "queue", "retry", id).wants(exitOK)
			}
			h.due()
			h.sends(exitOK)
			all := s.Messages()
			if len(all) != 2 || string(all[0].Octets) != string(all[1].Octets) {
				t.Errorf("%d messages, or not the same octets", len(all))
			}
			if n := len(h.copies("work")); n != 1 {
				t.Errorf("%d copies", n)
			}
			h.queued("")
		})
	}
}

// TestQueueDamaged: a message that was changed in the spool is not sent.
func TestQueueDamaged(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	for i, file := range []string{"message", "message", "envelope", "envelope"} {
		h.pipe(noteTo(fmt.Sprint(i), "bob@example.com"), "sendmail", "-t").wants(exitOK)
		id := h.ids("active")[i]
		path := filepath.Join(h.outbox(), ".spool", "active", id, file)
		if i%2 == 0 {
			octets := []byte(h.read(path))
			octets[len(octets)-3] ^= 1
			h.save(path, string(octets))
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	h.pipe(noteTo("good", "bob@example.com"), "sendmail", "-t").wants(exitOK)
	for range 3 {
		h.pipe("", "send")
		h.due()
	}
	if m := got(t, s, 1); len(m) == 1 && m[0].MessageID() != "<good@example.org>" {
		t.Errorf("%s was sent", m[0].MessageID())
	}
	h.queued("corrupt corrupt corrupt corrupt")
	h.pipe("", "queue").wants(exitOK).says(`corrupt +- +- +-`)
	for _, id := range h.ids("corrupt") {
		h.pipe("", "queue", "retry", id).wants(exitUsage, "damaged")
		h.pipe("", "queue", "show", id)
	}
	faultless(t, s)
}

// TestHoldIsAnUndoWindow: with hold a message waits, and may be taken back.
func TestHoldIsAnUndoWindow(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	h.accounts([]sendAccount{{port: s.Port()}}, fmt.Sprintf("outbox: {path: %q, hold: 30s}", h.outbox()))
	h.drop("a.eml", noteTo("a", "bob@example.com"))
	h.pipe(noteTo("b", "bob@example.com"), "sendmail", "-t").wants(exitOK)
	h.sends(exitOK)
	h.queued("held held")
	h.pipe("", "queue").says(`held .* in (2\d|30)s +bob@example.com\n +it may still be taken back`)
	h.due()
	h.sends(exitOK)
	got(t, s, 0) // flush is for what was put off
	var a, b string
	for _, id := range h.ids("held") {
		if strings.Contains(h.pipe("", "queue", "show", id).stdout, "Subject: a") {
			a = id
		} else {
			b = id
		}
	}
	h.pipe("", "queue", "cancel", a).wants(exitOK)
	if !strings.Contains(h.why("a.eml"), "by hand") {
		t.Error(h.why("a.eml"))
	}
	h.pipe("", "queue", "release", b).wants(exitOK)
	h.sends(exitOK)
	if m := got(t, s, 1); len(m) == 1 && m[0].MessageID() != "<b@example.org>" {
		t.Error(m[0].MessageID())
	}
	// The window is over by itself.
	h.accounts([]sendAccount{{port: s.Port()}}, fmt.Sprintf("outbox: {path: %q, hold: 1s}", h.outbox()))
	h.drop("c.eml", noteTo("c", "bob@example.com"))
	h.sends(exitOK)
	h.queued("held")
	deadline := time.Now().Add(10 * time.Second)
	for h.spooled() != "" && time.Now().Before(deadline) {
		h.sends(exitOK)
		time.Sleep(50 * time.Millisecond)
	}
	got(t, s, 2)
}

// TestSendAt: X-Postrider-Send-At holds a message, and does not go out.
func TestSendAt(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, mailtest.SMTPOptions{})
	h := newSender(t, []sendAccount{{port: s.Port()}})
	at := func(value, subject string) string {
		return "X-Postrider-Send-At: " + value + "\n" + noteTo(subject, "bob@example.com")
	}
	for i, tt := range []struct{ value, next string }{
		{"2h", `in [12]h`}, {"1h30m", `in 1h`}, {"3d", `in 71h|in 3d|in 2d`}, {time.Now().Add(10 * time.Minute).Format(time.RFC3339), `in (9|10)m`},
		{time.Now().Add(20 * time.Minute).UTC().Format("2006-01-02 15:04:05z"), `in (19|20)m`},
	} {
		h.pipe(at(tt.value, fmt.Sprint(i)), "sendmail", "-t").wants(exitOK)
		out := h.pipe("", "queue").stdout
		if !regexp.MustCompile(`held .* (` + tt.next + `) +bob@`).MatchString(out) {
			t.Errorf("%s: the queue is\n%s", tt.value, out)
		}
		h.sends(exitOK)
		h.queued("held")
		h.pipe("", "queue", "release", h.ids("held")[0]).wants(exitOK)
		h.sends(exitOK)
	}
	h.drop("past.eml", at(time.Now().Add(-time.Hour).Format(time.RFC3339), "past"))
	h.drop("now.eml", at("0s", "now"))
	h.sends(exitOK)
	for _, m := range got(t, s, 7) {
		if strings.Contains(string(m.Octets), "Send-At") {
			t.Errorf("%q", m.Octets)
		}
	}
	for i, bad := range []string{"tomorrow", "60", "2026-03-01", "2026-03-01T08:00:00", "-1h", "1y", "", "2h, 3h", "99999999999999d", "1h\nX-Postrider-Send-At: 2h"} {
		h.pipe(at(bad, "bad"), "sendmail", "-t").wants(exitData, "(?i)send-at.*[(]")
		h.drop(fmt.Sprintf("bad%d.eml", i), at(bad, "bad"))
	}
	h.sends(exitFailed)
	h.queued("")
	if n := len(h.files("failed")); n != 20 {
		t.Errorf("in failed/: %v", h.files("failed"))
	}
	got(t, s, 7)
}
