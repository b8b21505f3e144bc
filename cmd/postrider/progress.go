package main

import (
	"fmt"
	"io"
	"os"
	"strings"
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
	// A dumb terminal, such as that of a program run in Emacs, cannot move its cursor.
	if f, ok := p.stderr.(*os.File); ok && !quiet && p.getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) {
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

func (b *bar) Wanted(messages int, announced int64) {
	if messages == 0 {
		return
	}
	b.wanted.Store(b.messages.Load() + int64(messages))
	if b.bar != nil {
		b.total = b.bar.Current() + announced
		b.bar.SetTotal(b.total, false)
		return
	}
	b.total = max(announced, 1)
	// Begun with a total, the bar would end by itself when that many octets came, and announced sizes are hints.
	begun, rate := time.Now(), ""
	b.bar = b.bars.New(0, mpb.BarStyle().Rbound("]"),
		mpb.PrependDecorators(
			decor.Name(shortName(b.name), decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string {
				return fmt.Sprintf("%d/%d", b.messages.Load(), b.wanted.Load())
			}, decor.WCSyncSpace),
		),
		mpb.AppendDecorators(
			decor.Any(func(s decor.Statistics) string { return progressOctets(s.Current, s.Total) }, decor.WCSyncSpace),
			decor.Any(func(s decor.Statistics) string {
				if !s.Completed && !s.Aborted {
					rate = octets(int64(float64(s.Current)/max(time.Since(begun).Seconds(), 0.1))) + "/s"
				}
				return rate
			}, decor.WCSyncSpace),
			decor.OnAbort(decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace), "done"), "-"),
		),
	)
	b.bar.SetTotal(b.total, false)
}

// shortName is a name that leaves room for the rest on a narrow terminal.
func shortName(name string) string {
	const most = 12
	if len(name) > most {
		return name[:most-1] + "~"
	}
	return name
}

// progressOctets is how much of how much, in the unit of the whole.
func progressOctets(current, total int64) string {
	if current > total {
		return octets(current) // announced sizes are hints
	}
	whole := octets(total)
	unit := whole[strings.IndexByte(whole, ' ')+1:]
	size := map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
	if unit == "B" {
		return fmt.Sprintf("%d/%s", current, whole)
	}
	return fmt.Sprintf("%.1f/%s", float64(current)/size, whole)
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

	mu        sync.Mutex
	said      time.Time
	wanted    int
	announced int64 // octets of what is wanted
	messages  int
	octets    int64
}

func (l *lines) Wanted(messages int, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted, announced := l.messages+messages, l.octets+n
	more := wanted - l.wanted
	if messages == 0 || more <= 0 {
		return // another session, with what was wanted before
	}
	what := "message"
	if l.wanted > 0 {
		what = "more message"
	}
	fmt.Fprintf(l.out, "%s: %s to fetch (%s)\n", l.name, count(more, what), octets(max(announced-l.announced, 0)))
	l.wanted, l.announced, l.said = wanted, announced, time.Now()
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
