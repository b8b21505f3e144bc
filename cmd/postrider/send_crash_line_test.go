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

// TestT79CutAtEveryOctetOfSend ends the line after an octet of a session, in
// either direction; the next finds a good line.
func TestT79CutAtEveryOctetOfSend(t *testing.T) {
	t.Parallel()
	binary := buildPostrider(t)
	for _, uncertain := range []string{"hold", "resend"} {
		t.Run(uncertain, func(t *testing.T) {
			l := &postingLine{binary: binary, base: t.TempDir(), uncertain: uncertain}
			up, down, err := l.session(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			stride := int64(131)
			if whole() {
				stride = 1
			}
			if err := l.everywhere(t.Context(), up, down, stride); err != nil {
				t.Error(err)
			}
			t.Logf("%d octets up, %d down; %d ended uncertain or were sent again; the server had not got the dot of %d", up, down, l.doubts, l.undone)
		})
	}
}

// postingLine runs send over a line that is cut.
type postingLine struct {
	binary, base, uncertain string

	mu     sync.Mutex
	doubts int // letters that stayed in doubt, or were sent again
	undone int // of those, such as the server had not
}

// through makes a posting that reaches its server over a line.
func (l *postingLine) through(o mailtest.ProxyOptions) (*posting, *mailtest.Proxy, error) {
	p, err := newPosting(l.binary, l.base, someMail("bcc", "mixed", "dot", "never", "cron"))
	if err != nil {
		return p, nil, err
	}
	p.uncertain = l.uncertain
	line, err := mailtest.NewProxy(p.server.Addr(), o)
	if err != nil {
		return p, nil, errors.Join(err, p.close())
	}
	p.port = line.Port()
	return p, line, p.configure()
}

// session is a good one, for its length.
func (l *postingLine) session(ctx context.Context) (up, down int64, err error) {
	p, line, err := l.through(mailtest.ProxyOptions{})
	if err != nil {
		return 0, 0, err
	}
	_, err = p.send(ctx)
	up, down = line.Octets(1, mailtest.Up), line.Octets(1, mailtest.Down)
	return up, down, errors.Join(err, line.Close(), p.close())
}

// everywhere cuts at one octet in stride, several runs beside each other.
func (l *postingLine) everywhere(ctx context.Context, up, down, stride int64) error {
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
func (l *postingLine) cut(ctx context.Context, dir mailtest.Direction, n int64) error {
	p, line, err := l.through(mailtest.ProxyOptions{CutAfter: func(conn int, d mailtest.Direction) int64 {
		if conn == 1 && d == dir {
			return n
		}
		return -1
	}})
	if err != nil {
		return err
	}
	p.faults = 1
	code, output := p.run(ctx, "send")
	if err = p.kept(); err != nil {
		err = fmt.Errorf("right after it, ended with %d: %w\n%s", code, err, output)
	} else if err = errors.Join(p.flush(ctx), p.settle(ctx)); err != nil {
		err = fmt.Errorf("%w\nthe first send ended with %d and printed:\n%s", err, code, output)
	}
	c := p.count()
	l.mu.Lock()
	for i := range p.letters {
		f := p.fate(&p.letters[i], c)
		if f.place == "uncertain" || f.again > 0 {
			l.doubts++
			if len(f.octets) == 0 {
				l.undone++
			}
		}
	}
	l.mu.Unlock()
	return errors.Join(err, line.Close(), p.close())
}
