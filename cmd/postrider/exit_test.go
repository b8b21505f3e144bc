package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"postrider/daemon"
	"postrider/fetch"
	"postrider/ledger"
	"postrider/mailtest"
	"postrider/remote"
)

func TestExitCodeOfErrors(t *testing.T) {
	t.Parallel()
	server := &remote.ServerError{Server: "h:1", Err: errors.New("connect: refused")}
	login := &remote.LoginError{Server: "h:1", Err: errors.New("no")}
	aside := asideError{"work", []fetch.Aside{{UID: "x", Err: errors.New("no")}}}
	local := &fetch.LocalError{Err: errors.New("disk")}
	for _, tt := range []struct {
		err  error
		code int
	}{
		{nil, exitOK},
		{errors.New("whatever"), exitFailed},
		{usageError{errors.New("x")}, exitUsage},
		{&daemon.UnknownAccountError{Name: "x"}, exitUsage},
		{configError{errors.New("x")}, exitConfig},
		{fmt.Errorf("lock: %w", ledger.ErrLocked), exitTemporary},
		{fmt.Errorf("read: %w", context.Canceled), exitTemporary},
		{&ledger.LostError{Dir: "d"}, exitIO},
		{&ledger.DamageError{Path: "p", Err: errors.New("x")}, exitIO},
		{login, exitNoPerm},
		{&fs.PathError{Op: "open", Path: "p", Err: syscall.EACCES}, exitNoPerm},
		{&fs.PathError{Op: "mkdir", Path: "p", Err: syscall.ENOTDIR}, exitCantCreate},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, exitIO},
		{local, exitIO},
		{server, exitUnavailable},
		{&remote.ServerError{Server: "h:1", Err: reply{permanent: true}}, exitUnavailable},
		{&remote.ServerError{Server: "h:1", Err: reply{permanent: false}}, exitTemporary},
		{aside, exitTemporary},
		{errors.Join(aside, fmt.Errorf("account a: %w", server)), exitUnavailable},
		{errors.Join(fmt.Errorf("account a: %w", server), fmt.Errorf("account b: %w", login)), exitNoPerm},
		{errors.Join(fmt.Errorf("account a: %w", &remote.ServerError{Server: "h:1", Err: reply{permanent: false}}), errors.Join(fmt.Errorf("account b: %w", server))), exitUnavailable},
		{errors.Join(fmt.Errorf("account a: %w", server), fmt.Errorf("account b: %w", local)), exitIO},
	} {
		if code := exitCode(tt.err); code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.err, code, tt.code)
		}
	}
}

type reply struct{ permanent bool }

func (reply) Error() string     { return "server refused" }
func (r reply) Permanent() bool { return r.permanent }

// TestExitCodes shows each code as a user comes by it.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T) (*hostile, *mailtest.POP3) {
		s := startPOP3(t, mailtest.POP3Options{}, letters(1)...)
		return newHostile(t, hostileAccount{port: s.Port()}), s
	}
	t.Run("usage", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		h.run("bogus").wants(exitUsage, `unknown verb "bogus"`)
		h.run("fetch", "--bogus").wants(exitUsage, "unknown flag")
		h.run("fetch", "nobody").wants(exitUsage, `account "nobody" is not in `)
		h.run("check", "nobody").wants(exitUsage, `account "nobody" is not in `)
		h.run("version", "now").wants(exitUsage)
		h.run("help", "bogus").wants(exitUsage, `unknown verb "bogus"`)
		h.run("help", "fetch").wants(exitOK).says("one pass")
		h.run("completion", "bogus").wants(exitUsage, "bash, fish, powershell or zsh")
		h.run("completion", "bash", "now").wants(exitUsage)
		h.run("completion", "bash").wants(exitOK).says("postrider")
		h.run("version").wants(exitOK).says("^postrider ")
		h.run("help").wants(exitOK).says("fetch")
		h.run().wants(exitOK).says("Usage")
	})
	t.Run("config", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		h.replace("schedule:", "shedule:")
		h.run("fetch").wants(exitConfig, `config.yaml:\d+: .*shedule`)
		h.config = filepath.Join(h.dir, "missing.yaml")
		h.run("fetch").wants(exitConfig, "missing.yaml")
	})
	t.Run("another instance", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		h.run("fetch").wants(exitOK)
		f, err := os.OpenFile(filepath.Join(h.mail(), ".postrider", "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		h.runContext(t.Context(), "fetch").wants(exitTemporary, "another postrider is using it")
	})
	t.Run("root without its state", func(t *testing.T) {
		t.Parallel()
		h, s := serve(t)
		h.run("fetch").wants(exitOK)
		if err := os.RemoveAll(h.mail()); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(h.mail(), 0o700); err != nil {
			t.Fatal(err)
		}
		h.run("fetch").wants(exitIO, "Is its disk mounted", "--new-root")
		if entries, _ := os.ReadDir(h.mail()); len(entries) > 0 {
			t.Errorf("made all the same: %v", entries)
		}
		if n := s.Counts().Sessions; n != 1 {
			t.Errorf("%d sessions", n)
		}
		h.run("fetch", "--new-root").wants(exitOK).says("1 new message ")
	})
	t.Run("damaged ledger", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		h.run("fetch").wants(exitOK)
		if err := os.Truncate(filepath.Join(h.mail(), ".postrider", "state.db"), 0); err != nil {
			t.Fatal(err)
		}
		h.run("fetch").wants(exitIO, "damaged")
	})
	t.Run("cannot create", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		h.save(h.mail(), "a file where the root should be")
		h.run("fetch").wants(exitCantCreate, "Mail")
	})
	t.Run("no permission", func(t *testing.T) {
		t.Parallel()
		if os.Geteuid() == 0 {
			t.Skip("root may do everything: run as a plain user")
		}
		h, _ := serve(t)
		if err := os.Mkdir(h.mail(), 0o500); err != nil {
			t.Fatal(err)
		}
		h.run("fetch").wants(exitNoPerm, "permission denied")
	})
	t.Run("login refused", func(t *testing.T) {
		t.Parallel()
		h, s := serve(t)
		s.SetPassword("ada", "another")
		h.run("fetch").wants(exitNoPerm, "account work: .*log in: server refused")
	})
	t.Run("folder that is a file", func(t *testing.T) {
		t.Parallel()
		h, _ := serve(t)
		if err := os.MkdirAll(filepath.Join(h.mail(), "work"), 0o700); err != nil {
			t.Fatal(err)
		}
		h.save(filepath.Join(h.mail(), "work", "INBOX"), "no directory")
		h.run("fetch").wants(exitIO, "account work: ")
	})
}
