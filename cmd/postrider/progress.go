package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"postrider/daemon"
	"postrider/fetch"
)

// linePause is how often a long fetch says how far it is where there is no
// terminal.
const linePause = 10 * time.Second

// progress shows how a fetch goes on: bars on a terminal, lines elsewhere.
type progress struct {
	bars   *mpb.Progress // nil: no terminal
	shown  map[string]*bar
	quiet  bool
	stdout io.Writer
	stderr io.Writer
}

func (p *program) newProgress(quiet bool) *progress {
	show := &progress{shown: map[string]*bar{}, quiet: quiet, stdout: p.stdout, stderr: p.stderr}
	if f, ok := p.stderr.(*os.File); ok && !quiet && term.IsTerminal(int(f.Fd())) {
		show.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	}
	return show
}

// log is where log lines go: above the bars, if there are any.
func (s *progress) log() io.Writer {
	if s.bars != nil {
		return s.bars
	}
	return s.stderr
}

// account returns what one account reports its progress to.
func (s *progress) account(name string) fetch.Progress {
	switch {
	case s.quiet:
		return nil
	case s.bars != nil:
		s.shown[name] = &bar{bars: s.bars, name: name}
		return s.shown[name]
	}
	return &lines{out: s.stdout, name: name}
}

// done says what became of an account in which something happened.
func (s *progress) done(r daemon.Report) {
	if b := s.shown[r.Account]; b != nil {
		b.end(r.Err == nil)
	}
	if s.quiet || r.Result.Delivered == 0 && r.Result.Disposed == 0 {
		return
	}
	out := s.stdout
	if s.bars != nil {
		out = s.bars
	}
	fmt.Fprintf(out, "%s: %s (%s) in %s\n", r.Account, count(r.Result.Delivered, "new message"), octets(r.Result.Octets), r.Took.Round(10*time.Millisecond))
}

// wait ends the display, with every bar as it was in the end.
func (s *progress) wait() {
	if s.bars != nil {
		s.bars.Wait()
	}
}

// bar is the progress of one account on a terminal. It appears when there is
// something to fetch.
type bar struct {
	bars *mpb.Progress
	name string

	bar      *mpb.Bar
	total    int64 // octets
	wanted   atomic.Int64
	messages atomic.Int64
}

func (b *bar) Wanted(messages int, octets int64) {
	if messages == 0 {
		return
	}
	b.wanted.Store(b.messages.Load() + int64(messages))
	if b.bar != nil {
		b.total = b.bar.Current() + octets
		b.bar.SetTotal(b.total, false)
		return
	}
	b.total = max(octets, 1)
	// Begun with a total, the bar would end by itself when that many octets came, and announced sizes are hints.
	b.bar = b.bars.New(0, mpb.BarStyle().Rbound("]"),
		mpb.PrependDecorators(
			decor.Name(b.name, decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string {
				return fmt.Sprintf("%d/%d messages", b.messages.Load(), b.wanted.Load())
			}, decor.WCSyncSpace),
		),
		mpb.AppendDecorators(
			decor.Counters(decor.SizeB1000(0), "% .1f / % .1f", decor.WCSyncSpace),
			decor.AverageSpeed(decor.SizeB1000(0), "% .1f", decor.WCSyncSpace),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace), "done"),
		),
	)
	b.bar.SetTotal(b.total, false)
}

func (b *bar) Octets(n int64) {
	if b.bar != nil {
		b.bar.IncrInt64(n)
	}
}

func (b *bar) Message() { b.messages.Add(1) }

// end leaves the bar as it is; well says that nothing is missing.
func (b *bar) end(well bool) {
	switch {
	case b.bar == nil:
	case well:
		b.bar.SetTotal(-1, true)
	default:
		b.bar.Abort(false)
	}
}

// lines is the progress of one account where there is no terminal.
type lines struct {
	out  io.Writer
	name string

	mu       sync.Mutex
	said     time.Time
	wanted   int
	messages int
	octets   int64
}

func (l *lines) Wanted(messages int, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if messages > 0 {
		l.wanted = l.messages + messages
		l.said = time.Now()
		fmt.Fprintf(l.out, "%s: %s to fetch (%s)\n", l.name, count(messages, "message"), octets(n))
	}
}

func (l *lines) Octets(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.octets += n
	if time.Since(l.said) >= linePause {
		l.said = time.Now()
		fmt.Fprintf(l.out, "%s: %d of %d messages, %s so far\n", l.name, l.messages, l.wanted, octets(l.octets))
	}
}

func (l *lines) Message() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages++
}
