package main

import (
	"os"
	"testing"

	"postrider/mailtest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	s := startPOP3(t, mailtest.POP3Options{}, letters(2)...)
	bad := startPOP3(t, mailtest.POP3Options{Users: map[string]string{"ada": "another"}})
	h := newHostile(t, hostileAccount{name: "good", port: s.Port()}, hostileAccount{name: "bad", port: bad.Port()})
	h.run("check").wants(exitOK).says(`is in order: 2 accounts`)
	if n := s.Counts().Sessions; n != 0 {
		t.Errorf("%d sessions without --online", n)
	}
	h.run("check", "--online").wants(exitNoPerm, "account bad: .*log in").says(`good: logged in at 127\.0\.0\.1:\d+, 2 messages there`)
	h.run("check", "--online", "good").wants(exitOK)
	if _, err := os.Stat(h.mail()); err == nil {
		t.Error("check has made the root")
	}
	if n := s.Counts().Commands["RETR"] + s.Counts().Commands["DELE"]; n != 0 {
		t.Errorf("%d messages were touched", n)
	}
}

func TestCheckSaysAllAtOnce(t *testing.T) {
	t.Parallel()
	h := newHostile(t, hostileAccount{port: 110, extra: "max_size: huge\nauth: guess\ntimeout: never"})
	o := h.run("check").wants(exitConfig, "max_size", "auth", "timeout")
	h.run("fetch").wants(exitConfig, "max_size", "auth", "timeout")
	if o.stdout != "" {
		t.Errorf("stdout %q", o.stdout)
	}
}
