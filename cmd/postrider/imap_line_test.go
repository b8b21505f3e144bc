//go:build linux && (amd64 || arm64)

package main_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"postrider/mailtest"
)

// TestT35CutAtEveryOctetIMAP ends the line after an octet of a session, in either
// direction; the next finds a good line.
func TestT35CutAtEveryOctetIMAP(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, c := range []struct {
		name, onServer string
		scene          scene
		one            int64 // octet in so many is tried in the whole form
	}{
		{"keep", "keep", fewScene, 3},
		{"delete", "delete", fewScene, 1},
		{"seen", "seen", fewScene, 3},
		{"move", "move " + moved, fewScene, 1},
		{"move, by copying", "move " + moved, copyScene, 1},
		{"move, two mailboxes", "move " + moved, twoScene, 5},
		{"keep, labels", "keep", fewLabelsScene, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lineCut{binary: binary, base: t.TempDir(), onServer: c.onServer, scene: c.scene}
			up, down, err := l.session(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stride := int64(197)
			if whole() {
				stride = c.one
			}
			if err := l.everywhere(t.Context(), up, down, stride); err != nil {
				t.Error(err)
			}
			t.Logf("%d octets up, %d down", up, down)
		})
	}
}

// Scenes for short sessions.
var (
	fewScene       = scene{allExtensions, "[INBOX]", few(datedMail, 3, 6), 0}
	copyScene      = scene{noMove, "[INBOX]", few(datedMail, 3, 6), 0}
	twoScene       = scene{allExtensions, `["*"]`, few(dozenMails, 0, 6), 0}
	fewLabelsScene = scene{mailtest.ProfileGmailIMAP, labelsScene.folders, few(labelledMail, 0, 4), 0}
)

func few(messages func() []promised, from, to int) func() []promised {
	return func() []promised { return messages()[from:to] }
}

// lineCut runs the program over a line that is cut.
type lineCut struct {
	binary, base, onServer string
	scene                  scene
}

// session is a good one, for its length.
func (l *lineCut) session(ctx context.Context) (up, down int64, err error) {
	p, err := l.scene.first(ctx, l.binary, l.base, l.onServer)
	if err != nil {
		return 0, 0, err
	}
	line, err := l.through(p, mailtest.ProxyOptions{})
	if err != nil {
		return 0, 0, errors.Join(err, p.close())
	}
	err = p.fetch(ctx)
	up, down = line.Octets(1, mailtest.Up), line.Octets(1, mailtest.Down)
	return up, down, errors.Join(err, line.Close(), p.close())
}

// through has the program reach its server over a line.
func (l *lineCut) through(p *promise, o mailtest.ProxyOptions) (*mailtest.Proxy, error) {
	office := p.office.(*imapPost)
	line, err := mailtest.NewProxy(office.Addr(), o)
	if err != nil {
		return nil, err
	}
	office.port = line.Port()
	return line, p.configure()
}

// everywhere cuts at one octet in stride, several runs beside each other.
func (l *lineCut) everywhere(ctx context.Context, up, down, stride int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	places := make(chan int64)
	errs := make([]error, 4)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			for at := range places {
				dir, n := mailtest.Up, at
				if at >= up {
					dir, n = mailtest.Down, at-up
				}
				if err := l.cut(ctx, dir, n); err != nil && errs[i] == nil && ctx.Err() == nil {
					errs[i] = fmt.Errorf("cut after %d octets %v: %w", n, dir, err)
					cancel()
				}
			}
		})
	}
	for at := int64(0); at < up+down && ctx.Err() == nil; at += stride {
		places <- at
	}
	close(places)
	running.Wait()
	return errors.Join(errs...)
}

// cut is one run of which the first connection is cut.
func (l *lineCut) cut(ctx context.Context, dir mailtest.Direction, n int64) error {
	p, err := l.scene.first(ctx, l.binary, l.base, l.onServer)
	if err != nil {
		return err
	}
	line, err := l.through(p, mailtest.ProxyOptions{CutAfter: func(conn int, d mailtest.Direction) int64 {
		if conn == 1 && d == dir {
			return n
		}
		return -1
	}})
	if err != nil {
		return errors.Join(err, p.close())
	}
	code, output := p.tryFetch(ctx)
	if err = p.kept(); err != nil {
		err = fmt.Errorf("right after it, ended with %d: %w\n%s", code, err, output)
	} else {
		err = p.settle(ctx)
	}
	return errors.Join(err, line.Close(), p.close())
}
