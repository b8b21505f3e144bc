// Command demo shows postrider at work without touching anything of yours:
// embedded mail servers, the real engine on a generated configuration, and a
// reader, all in a temporary folder. It uses no network but loopback and ends
// by itself. The exit code is not 0 if a message was lost, doubled or changed.
//
// The parts are numbered in the order in which they are shown. Each is a file:
//
//	receive.go   mail in, over IMAP and POP3
//	send.go      mail out, over SMTP, and in again
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// patience bounds the whole demo; it takes a second or two.
const patience = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.TempDir(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo is what the parts share.
type demo struct {
	dir string // everything lies below it
	out io.Writer
}

// run shows everything in a new folder below parent, which it leaves there for
// the user to look at.
func run(ctx context.Context, parent string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp(parent, "postrider-demo-")
	if err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	d := &demo{dir: dir, out: out}
	d.say("postrider carries mail between servers and Maildirs: nothing lost, nothing twice.")
	d.say("Everything of this demo lies in %s.", dir)
	if err := d.parts(ctx); err != nil {
		return fmt.Errorf("%w (what there is lies in %s)", err, dir)
	}
	d.farewell()
	return nil
}

// parts shows one part after the other, on the same servers.
func (d *demo) parts(ctx context.Context) error {
	p, err := startPost(d.dir)
	if err != nil {
		return fmt.Errorf("start the mail servers: %w", err)
	}
	defer p.close()
	if err := d.receive(ctx, p); err != nil {
		return err
	}
	if err := d.send(ctx, p); err != nil {
		return err
	}
	if n := p.carried(); n != p.total {
		return fmt.Errorf("messages came over the line %d times, and there were %d", n, p.total)
	}
	if err := p.close(); err != nil {
		return fmt.Errorf("stop the mail servers: %w", err)
	}
	d.say("Each of the %d messages on the servers has come over the line once.", p.total)
	return nil
}

func (d *demo) farewell() {
	d.title("To look around")
	d.say("read the mail     mutt -f %s", d.folder("work/INBOX"))
	d.say("outbox            %s", d.path("Outbox"))
	d.say("configuration     %s", d.path("config.yaml"))
	d.say("ledger            %s", d.path("Mail", ".postrider", "state.db"))
	d.say("remove it all     rm -r %s", d.dir)
}

// title begins a part or a step.
func (d *demo) title(format string, args ...any) {
	fmt.Fprintf(d.out, "\n"+format+"\n", args...)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "  "+format+"\n", args...)
}

// path is a path in the demo's folder.
func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

// folder is the directory of a folder, which is named as below the root.
func (d *demo) folder(name string) string { return d.path("Mail", filepath.FromSlash(name)) }
