package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

func TestDialogueLimits(t *testing.T) {
	t.Parallel()
	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		out, err := dialogueBatch(t, strings.Repeat("X\r\n", 1000), nil)
		if err == nil || strings.Count(out, "500 ") != 100 || !strings.HasSuffix(out, "421 4.7.0 too many errors\r\n") {
			t.Errorf("%v, replies\n%s", err, out)
		}
	})
	t.Run("recipients", func(t *testing.T) {
		t.Parallel()
		var s dialogueSpool
		in := strings.Replace(dialogueBegun, "RCPT TO:<b@example.org>\r\n", strings.Repeat("RCPT TO:<b@example.org>\r\n", 10_001), 1)
		out, err := dialogueBatch(t, in+".\r\nQUIT\r\n", s.submit)
		if err != nil || strings.Count(out, "452 4.5.3") != 1 || len(s.mails) != 1 || len(s.mails[0].rcpts) != 10_000 {
			t.Errorf("%v, %d messages", err, len(s.mails))
		}
	})
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		text := &dialogueText{in: bufio.NewReader(strings.NewReader("12345\r\n67890\r\n.\r\n")), atStart: true, left: 13}
		if got, err := io.ReadAll(text); !errors.Is(err, dialogueSizeError{}) || len(got) > 14 || !text.tooLarge() {
			t.Errorf("14 octets where 13 may come: %q, %v", got, err)
		}
		if err := text.drain(); err != nil || !text.ended {
			t.Errorf("the rest: %v", err)
		}
		text = &dialogueText{in: bufio.NewReader(strings.NewReader("12345\r\n67890\r\n.\r\n")), atStart: true, left: 14}
		if got, err := io.ReadAll(text); err != nil || len(got) != 14 {
			t.Errorf("14 octets where 14 may come: %q, %v", got, err)
		}
	})
	t.Run("streamed", func(t *testing.T) {
		t.Parallel()
		// One line of 64 MB, which submit gets while it comes.
		const size = 64 << 20
		line := &manyOctets{left: size}
		in := io.MultiReader(strings.NewReader(dialogueBegun), line, strings.NewReader("\r\n.\r\n"))
		got, ahead := 0, 0
		err := dialogue(t.Context(), in, io.Discard, "mx.example", func(_ context.Context, _ dialogueMail, text io.Reader) error {
			for b := make([]byte, 4096); ; {
				n, err := text.Read(b)
				got += n
				ahead = max(ahead, size-line.left-got)
				if err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
		if err != nil || got != size+2 || ahead > 128<<10 {
			t.Errorf("%d octets, of which %d were held: %v", got, ahead, err)
		}
	})
}

// manyOctets is a long line without its end.
type manyOctets struct{ left int }

func (m *manyOctets) Read(b []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), m.left)
	for i := range b[:n] {
		b[i] = 'x'
	}
	m.left -= n
	return n, nil
}

func TestDialogueInterrupted(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "EHLO a\r\n", "EHLO a\r\nMAIL FR", dialogueBegun, dialogueBegun + "x\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			client, server := net.Pipe()
			defer client.Close()
			ctx, cancel := context.WithCancel(t.Context())
			var s dialogueSpool
			ended := make(chan error, 1)
			go func() {
				defer server.Close()
				ended <- dialogue(ctx, server, server, "mx.example", s.submit)
			}()
			replies := make(chan string, 1)
			go func() {
				all, _ := io.ReadAll(client)
				replies <- string(all)
			}()
			if _, err := io.WriteString(client, sent); err != nil {
				t.Error(err)
			}
			synctest.Wait() // it waits for more
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) || len(s.mails) > 0 {
				t.Errorf("behind %q: %v, %d messages", sent, err, len(s.mails))
			}
			if out := <-replies; !strings.Contains(out, "421 4.3.2 interrupted") {
				t.Errorf("behind %q: replies\n%s", sent, out)
			}
		})
	}
}

func TestDialogueBrokenOutput(t *testing.T) {
	t.Parallel()
	for writes := range 3 { // the greeting, the replies up to 354, those up to QUIT
		var s dialogueSpool
		err := dialogue(t.Context(), strings.NewReader(dialogueBegun+"x\r\n.\r\nQUIT\r\n"), &brokenOutput{writes}, "mx.example", s.submit)
		if !errors.Is(err, io.ErrClosedPipe) || len(s.mails) > writes/2 {
			t.Errorf("behind %d writes: %v, %d messages", writes, err, len(s.mails))
		}
	}
}

// brokenOutput takes so many writes.
type brokenOutput struct{ left int }

func (b *brokenOutput) Write(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.ErrClosedPipe
	}
	b.left--
	return len(p), nil
}
