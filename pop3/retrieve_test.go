package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// countingReceiver throws messages away and reports their size at the end.
type countingReceiver func(writes, octets int)

func (f countingReceiver) Begin(int) (io.Writer, error) { return &counter{}, nil }
func (f countingReceiver) End(_ int, err error) error   { return err }

type counter struct{ writes, octets int }

func (c *counter) Write(p []byte) (int, error) {
	c.writes++
	c.octets += len(p)
	return len(p), nil
}

func TestRetrieve(t *testing.T) {
	want := []Request{{3, 10}, {1, -1}, {2, 0}}
	for name, transcript := range map[string]string{
		"lockstep": `
			S: +OK
			C: RETR 3
			S~ "+OK\r\nthree\r\n..\r\n.\r\n"
			C: RETR 1
			S: -ERR [SYS/TEMP] not now
			C: RETR 2
			S~ "+OK\r\n.\r\n"
			C: NOOP
			S: +OK`,
		"pipelining": `
			S: +OK
			C: RETR 3
			C: RETR 1
			C: RETR 2
			S~ "+OK\r\nthree\r\n..\r\n.\r\n-ERR [SYS/TEMP] not now\r\n+OK\r\n.\r\n"
			C: NOOP
			S: +OK`,
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{}, transcript, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				c.pipelining = name == "pipelining"
				r := &boxReceiver{}
				noError(t, c.Retrieve(context.Background(), want, r))
				got := []received{
					{i: 0, text: "three\r\n.\r\n", begun: true, ended: true},
					{i: 1, err: &ReplyError{Command: "RETR", Code: "SYS/TEMP", Text: "not now"}, ended: true},
					{i: 2, text: "", begun: true, ended: true},
				}
				if !reflect.DeepEqual(r.got, got) {
					t.Errorf("got  %+v\nwant %+v", r.got, got)
				}
				noError(t, c.Noop(context.Background()))
			})
		})
	}
}

func TestTop(t *testing.T) {
	dialogue(t, Options{}, `
		S: +OK
		C: TOP 7 0
		S~ "+OK\r\nSubject: x\r\n\r\n.\r\n"
		C: TOP 9 0
		S: -ERR no such message
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		r := &boxReceiver{}
		noError(t, c.Top(context.Background(), []int{7, 9}, -1, r))
		if r.got[0].text != "Subject: x\r\n\r\n" || refusal(t, r.got[1].err).Command != "TOP" {
			t.Errorf("got %+v", r.got)
		}
	})
}

func TestT32OddMessages(t *testing.T) {
	messages := map[string]string{
		"empty":          "",
		"an empty line":  "\r\n",
		"no header":      "\r\nbody\r\n",
		"NUL":            "a\x00b\r\n\x00\r\n",
		"lone CR":        "a\rb\r\r\n",
		"lone LF":        "a\nb\n\r\n",
		"8 bit":          "\xff\xfe\x80\r\n",
		"10 MB line":     "X: " + strings.Repeat("y", 10<<20) + "\r\n",
		"longer than us": strings.Repeat("z", maxLine) + "\r\n",
		"dot at the end": strings.Repeat("z", maxLine-3) + "\r\n.\r\n",
	}
	for name, message := range messages {
		t.Run(name, func(t *testing.T) {
			c := cannedClient(t, Options{}, "+OK\r\n"+stuff(message)+".\r\n")
			var got strings.Builder
			r := &streamReceiver{w: &got}
			noError(t, c.Retrieve(t.Context(), []Request{{Number: 1}}, r))
			if got.String() != message || r.err != nil {
				t.Errorf("%d octets of %d, %v", got.Len(), len(message), r.err)
			}
		})
	}
}

type streamReceiver struct {
	w   io.Writer
	err error
}

func (s *streamReceiver) Begin(int) (io.Writer, error) { return s.w, nil }
func (s *streamReceiver) End(_ int, err error) error   { s.err = err; return nil }

// A server that ends its lines in LF is understood; one that mixes them is not
// believed.
func TestT49BareLFServer(t *testing.T) {
	dialogue(t, Options{}, `
		S~ "+OK\n"
		C: RETR 1
		S~ "+OK\na\n..b\n.\n"
		C: NOOP
		S~ "+OK\n"
		C: RETR 2
		S~ "+OK\r\na\r\n.\n"
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		r := &boxReceiver{}
		noError(t, c.Retrieve(ctx, []Request{{Number: 1}}, r))
		if r.got[0].text != "a\n.b\n" {
			t.Errorf("got %q", r.got[0].text)
		}
		noError(t, c.Noop(ctx))
		var e *ProtocolError
		broken(t, c, c.Retrieve(ctx, []Request{{Number: 2}}, r), &e)
		if r.got[1].err == nil {
			t.Error("the message ended well")
		}
	})
}

func TestSkip(t *testing.T) {
	messages := testMessages(4)
	stop := errors.New("disk full")
	for _, tt := range []struct {
		name    string
		r       boxReceiver
		err     error
		endings []error
	}{
		{"Begin skips", boxReceiver{begin: failAt(1, ErrSkip)}, nil, []error{nil, ErrSkip, nil, nil}},
		{"the writer skips", boxReceiver{write: writeFailsAt(1, fmt.Errorf("seen enough: %w", ErrSkip))}, nil, []error{nil, ErrSkip, nil, nil}},
		{"End skips", boxReceiver{end: endFailsAt(1, ErrSkip)}, nil, []error{nil, nil, nil, nil}},
		{"Begin fails", boxReceiver{begin: failAt(1, stop)}, stop, []error{nil, stop}},
		{"the writer fails", boxReceiver{write: writeFailsAt(1, stop)}, stop, []error{nil, stop}},
		{"End fails", boxReceiver{end: endFailsAt(1, stop)}, stop, []error{nil, nil}},
	} {
		for _, lockstep := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,lockstep=%t", tt.name, lockstep), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := tt.r
					near, far := net.Pipe()
					go func() {
						defer far.Close()
						(&maildrop{messages: messages}).serve(far)
					}()
					ctx := context.Background()
					c, err := New(ctx, near, Options{})
					noError(t, err)
					c.pipelining = !lockstep
					err = c.Retrieve(ctx, []Request{{Number: 1}, {Number: 2}, {Number: 3}, {Number: 4}}, &r)
					if len(r.got) != len(tt.endings) {
						t.Fatalf("%d messages, want %d", len(r.got), len(tt.endings))
					}
					for i, want := range tt.endings {
						g := r.got[i]
						if !errors.Is(g.err, want) || (g.err == nil) != (want == nil) || !g.ended {
							t.Errorf("message %d ended with %v, want %v", i, g.err, want)
						}
						if want == nil && g.text != messages[i] {
							t.Errorf("message %d: %q", i, g.text)
						}
					}
					if tt.err == nil {
						noError(t, err)
						noError(t, c.Quit(ctx))
					} else {
						broken(t, c, err, tt.err)
					}
				})
			})
		}
	}
}

func failAt(at int, err error) func(int) error {
	return func(i int) error {
		if i == at {
			return err
		}
		return nil
	}
}

func writeFailsAt(at int, err error) func(int, []byte) error {
	return func(i int, _ []byte) error { return failAt(at, err)(i) }
}

func endFailsAt(at int, err error) func(int, error) error {
	return func(i int, _ error) error { return failAt(at, err)(i) }
}

func TestT28MessageTooLarge(t *testing.T) {
	dialogue(t, Options{MaxMessage: 8}, `
		S: +OK
		C: RETR 1
		S~ "+OK\r\n..12345\r\n.\r\n"
		C: RETR 2
		S~ "+OK\r\n1234567\r\n.\r\n"
		STALL
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		r := &boxReceiver{}
		err = c.Retrieve(context.Background(), []Request{{Number: 1}, {Number: 2}}, r)
		broken(t, c, err, ErrTooLarge)
		if r.got[0].err != nil || !errors.Is(r.got[1].err, ErrTooLarge) {
			t.Errorf("got %+v", r.got)
		}
	})
}

// However much the server sends, memory stays what it was.
func TestT29MessageWithoutEnd(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go io.Copy(io.Discard, far)
	go flood(far, "+OK\r\n", "+OK "+strings.Repeat("x", 1000)+"\r\n..\r\n")
	c, err := New(t.Context(), near, Options{MaxMessage: 200 << 20})
	noError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = c.Retrieve(t.Context(), []Request{{Number: 1}}, countingReceiver(nil))
	runtime.ReadMemStats(&after)
	broken(t, c, err, ErrTooLarge)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("it took %d octets of memory", grown)
	}
}

// On a pipe, which holds nothing, a server that answers each command before it
// reads the next would wait for us for ever, and we for it, if reading waited
// for writing.
func TestPipeliningDoesNotDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		m := &maildrop{messages: testMessages(2000), narrow: true}
		var wg sync.WaitGroup
		wg.Go(func() { defer far.Close(); m.serve(far) })
		ctx := context.Background()
		c, err := New(ctx, near, Options{})
		noError(t, err)
		pipelining(c)
		want, numbers := make([]Request, 2000), make([]int, 2000)
		for i := range want {
			want[i].Number, numbers[i] = i+1, i+1
		}
		r := &boxReceiver{}
		noError(t, c.Retrieve(ctx, want, r))
		for i, g := range r.got {
			if g.i != i || g.err != nil || g.text != m.messages[i] {
				t.Fatalf("message %d: %+v", i, g)
			}
		}
		noError(t, c.Delete(ctx, numbers, func(_ int, err error) { noError(t, err) }))
		noError(t, c.Quit(ctx))
		wg.Wait()
		if len(r.got) != 2000 || m.deleted != 2000 {
			t.Errorf("%d retrieved, %d deleted", len(r.got), m.deleted)
		}
	})
}

// windowServer counts how many commands are unanswered at most, and the octets
// of their answers.
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		o             Options
		announced     int64
		most, flights int
	}{
		{Options{Window: 10}, 100, 10, 19},
		{Options{Window: 1000}, 100, 100, 1},
		{Options{WindowOctets: 1000}, 100, 10, 19},
		{Options{WindowOctets: 1000}, 1 << 62, 1, 100},
		{Options{WindowOctets: guessed * 4}, -1, 4, 50},
		{Options{Window: 1}, 0, 1, 100},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			most, flights := 0, 0
			var wg sync.WaitGroup
			wg.Go(func() {
				defer far.Close()
				io.WriteString(far, "+OK\r\n")
				buf := make([]byte, 1<<16)
				for unanswered := 0; ; {
					// All that the client sends before it gets an answer.
					for {
						far.SetReadDeadline(time.Now().Add(time.Second))
						n, err := far.Read(buf)
						if errors.Is(err, io.EOF) {
							return
						}
						if err != nil {
							break
						}
						flights++
						unanswered += strings.Count(string(buf[:n]), "\n")
					}
					most = max(most, unanswered)
					if unanswered > 0 {
						unanswered--
						io.WriteString(far, "+OK\r\n.\r\n")
					}
				}
			})
			c, err := New(context.Background(), near, tt.o)
			noError(t, err)
			pipelining(c)
			want := make([]Request, 100)
			for i := range want {
				want[i] = Request{i + 1, tt.announced}
			}
			noError(t, c.Retrieve(context.Background(), want, countingReceiver(nil)))
			c.Close()
			wg.Wait()
			if most != tt.most || flights > tt.flights {
				t.Errorf("%+v at %d octets: %d unanswered in %d flights, want %d in at most %d", tt.o, tt.announced, most, flights, tt.most, tt.flights)
			}
		})
	}
}

// What a round trip costs, and what it does not.
func TestRoundTrips(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, tt := range []struct {
		lockstep bool
		messages int
		trips    float64
	}{
		// greeting ½, CAPA, USER+PASS, LIST+UIDL, RETR, DELE, QUIT
		{false, 100, 6.5},
		{false, 0, 4.5},
		// greeting ½, CAPA, USER, PASS, LIST, UIDL, RETR and DELE each, QUIT
		{true, 10, 26.5},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := delayed(t, rtt)
			go func() {
				defer far.Close()
				(&maildrop{messages: testMessages(tt.messages), lockstep: tt.lockstep}).serve(far)
			}()
			start := time.Now()
			noError(t, session(context.Background(), near, Options{}, countingReceiver(nil)))
			if trips := float64(time.Since(start)) / float64(rtt); trips != tt.trips {
				t.Errorf("lockstep %t, %d messages: %.1f round trips, want %.1f", tt.lockstep, tt.messages, trips, tt.trips)
			}
		})
	}
}

func BenchmarkRetrieve(b *testing.B) {
	message := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 600)
	var all strings.Builder
	for range 200 {
		all.WriteString("+OK\r\n" + message + ".\r\n")
	}
	want := make([]Request, 200)
	b.SetBytes(int64(all.Len()))
	b.ReportAllocs()
	for b.Loop() {
		c := pipelining(cannedClient(b, Options{}, all.String()))
		if err := c.Retrieve(context.Background(), want, countingReceiver(nil)); err != nil {
			b.Fatal(err)
		}
	}
}
