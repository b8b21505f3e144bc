package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"postrider/configs"
)

// newLogger writes to out in the form that the configuration asks for. auto is
// a plain line, with the priority in front that the journal of systemd reads
// when it is the one that gets it.
func newLogger(c configs.Log, out io.Writer, getenv func(string) string) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: escaped}
	switch c.Format {
	case "json":
		return slog.New(slog.NewJSONHandler(out, options))
	case "text":
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(&plainHandler{out: &lockedWriter{w: out}, level: c.Level, journal: isJournal(out, getenv("JOURNAL_STREAM"))})
}

// isJournal tells whether out is the stream to the journal that systemd has
// named. The variable alone says nothing: every program that a service starts
// inherits it, among them the shells of a desktop.
func isJournal(out io.Writer, stream string) bool {
	f, ok := out.(*os.File)
	if !ok || stream == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// escaped makes the texts of a record fit for a terminal: the handlers of
// log/slog escape what their format needs, and JSON lets pass what turns the
// direction of writing and the control characters above ASCII.
func escaped(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(printable(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			a.Value = slog.StringValue(printable(err.Error()))
		}
	}
	return a
}

// plainHandler writes one line a record: what happened, then key=value. It has
// no time, as the journal adds its own and a person at a terminal has a clock.
type plainHandler struct {
	out     *lockedWriter
	level   slog.Level
	journal bool
	attrs   string
	group   string
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (h *plainHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	switch {
	case h.journal:
		fmt.Fprintf(&b, "<%d>", priority(r.Level))
	case r.Level >= slog.LevelWarn:
		fmt.Fprintf(&b, "%s: ", strings.ToLower(r.Level.String()))
	}
	b.WriteString(printable(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attribute(h.group, a))
		return true
	})
	b.WriteByte('\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b.Bytes())
	return err
}

func (h *plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	for _, a := range attrs {
		more.attrs += attribute(h.group, a)
	}
	return &more
}

func (h *plainHandler) WithGroup(name string) slog.Handler {
	more := *h
	more.group += name + "."
	return &more
}

func attribute(group string, a slog.Attr) string {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) || v.Kind() == slog.KindString && v.String() == "" {
		return ""
	}
	text := printable(v.String())
	if strings.ContainsAny(text, " =\"") || text == "" {
		text = strconv.Quote(text)
	}
	return " " + group + a.Key + "=" + text
}

// priority is that of syslog(3).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

// printable makes text that a server or a file chose fit for a terminal and a
// log: control characters, marks that turn the direction of writing, and
// octets that are no UTF-8 are shown as escapes.
func printable(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsControl(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case unicode.Is(unicode.Bidi_Control, r), unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}
