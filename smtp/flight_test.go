package smtp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoundTrips measures how long messages take over a line that does nothing
// but wait: one round trip each, and two to begin.
func TestRoundTrips(t *testing.T) {
	const rtt = 100 * time.Millisecond
	for _, tt := range []struct {
		name                 string
		capabilities         []string
		messages, recipients int
		refuse               string
		want                 int // round trips of Send
	}{
		{"one", []string{"PIPELINING"}, 1, 1, "", 1 + 1 + 1},
		{"many", []string{"PIPELINING"}, 50, 1, "", 1 + 1 + 50},
		{"100 recipients", []string{"PIPELINING"}, 10, 100, "", 1 + 1 + 10},
		{"all refused", []string{"PIPELINING"}, 10, 1, "RCPT", 1 + 10},
		{"each message refused", []string{"PIPELINING"}, 10, 1, ".", 1 + 1 + 10},
		{"lockstep", nil, 10, 2, "", 1 + 10*5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &mta{capabilities: tt.capabilities}
				if tt.refuse != "" {
					server.answer = func(verb, _ string) string {
						if verb == tt.refuse {
							return "550 no"
						}
						return ""
					}
				}
				w := newDelay(rtt / 2)
				served := make(chan struct{})
				go func() { defer close(served); server.serve(w.ends[1]) }()
				c, err := New(context.Background(), w.ends[0], Options{})
				noError(t, err)
				var mails []*Mail
				for i := range tt.messages {
					m := letter(fmt.Sprint("\n", i))
					m.Text = strings.NewReader(fmt.Sprint("\n", i) + strings.Repeat("\n0123456789", 1000))
					for r := range tt.recipients {
						m.To = append(m.To, Recipient{Address: fmt.Sprintf("user%d@b.example", r)})
					}
					mails = append(mails, m)
				}
				box := newOutbox(mails...)
				start := time.Now()
				noError(t, c.Send(context.Background(), box))
				if got := time.Since(start); got != time.Duration(tt.want)*rtt {
					t.Errorf("%v, want %d times %v", got, tt.want, rtt)
				}
				noError(t, c.Quit())
				w.close()
				<-served
				if tt.refuse == "" && len(server.accepted) != tt.messages {
					t.Errorf("the server has %d messages", len(server.accepted))
				}
				if len(server.odd) > 0 {
					t.Errorf("the server heard %q", server.odd)
				}
			})
		})
	}
}

// T81 and many recipients: more than the window, refused here and there.
func TestManyRecipients(t *testing.T) {
	for _, window := range []int{1, 2, 7, 128} {
		synctest.Test(t, func(t *testing.T) {
			server := &mta{capabilities: []string{"PIPELINING"}, answer: func(verb, argument string) string {
				if verb == "RCPT" && strings.HasSuffix(argument, "3@b.example>") {
					return "452 later"
				}
				return ""
			}}
			w := newDelay(time.Millisecond)
			served := make(chan struct{})
			go func() { defer close(served); server.serve(w.ends[1]) }()
			c, err := New(context.Background(), w.ends[0], Options{Window: window})
			noError(t, err)
			m := letter("x")
			for r := range 1000 {
				m.To = append(m.To, Recipient{Address: fmt.Sprintf("user%d@b.example", r)})
			}
			box := newOutbox(m, letter("y", "z@b.example"))
			noError(t, c.Send(context.Background(), box))
			c.Close()
			w.close()
			<-served
			if n := len(server.accepted); n != 2 || len(server.accepted[0].to) != 900 {
				t.Fatalf("window %d: %d messages", window, n)
			}
			for i, err := range box.fates[m].To {
				if (err != nil) != (i%10 == 3) {
					t.Errorf("window %d: recipient %d: %v", window, i, err)
				}
			}
		})
	}
}
