package imap

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestAheadTooScattered: what a call would ask for in pieces does not go ahead as
// one command.
func TestAheadTooScattered(t *testing.T) {
	var set UIDSet
	for uid := uint32(1000); uid < 2000; uid += 2 {
		set.Add(uid)
	}
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1] x
		C: A SELECT "INBOX"
		S: A OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		selects := AheadSelect("INBOX", SelectOptions{})
		if c.Ahead(ctx, selects, AheadAttributes(AttributesRequest{UIDs: set})) == nil || c.Ahead(ctx, selects, AheadSearch(set)) == nil {
			t.Error("a set that is too long went ahead")
		}
		_, err = c.Select(ctx, "INBOX", SelectOptions{})
		noError(t, err) // nothing of it was sent
	})
}

// TestThrottled: the BYE behind a request for time says how long.
func TestThrottled(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1] x
		C: A NOOP
		S: A NO Request is throttled. Suggested Backoff Time: 4000 milliseconds
		C: B NOOP
		S: * BYE Connection closed. 14
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		refusal(t, c.Noop(context.Background()))
		err = c.Noop(context.Background())
		var bye *ResponseError
		if !errors.As(err, &bye) || bye.Status != "BYE" || !strings.HasSuffix(bye.Text, "; Connection closed. 14") {
			t.Fatalf("got %v", err)
		}
		if wait, ok := bye.Backoff(); !ok || wait != 4*time.Second {
			t.Errorf("%v, %v", wait, ok)
		}
	})
}

// TestNotSticky: the code stands in a NO (RFC 4315 section 2.3).
func TestNotSticky(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 UIDPLUS] x
		C: A SELECT "INBOX"
		S: * 2 EXISTS
		S: * NO [UIDNOTSTICKY] UIDs do not last
		S: * OK [UIDVALIDITY 877] x
		S: A OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		s, err := c.Select(context.Background(), "INBOX", SelectOptions{})
		noError(t, err)
		if !s.NotSticky || s.UIDValidity != 877 {
			t.Errorf("got %+v", s)
		}
	})
}

// TestNameThatNoCommandCanHave: a mailbox with NUL in its name is none.
func TestNameThatNoCommandCanHave(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1] x
		C: A LIST "" "*"
		S: * LIST () "/" {3}
		S~ "a\x00b\r\n"
		S: * LIST () "/" INBOX
		S: A OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		l, err := c.List(context.Background(), ListRequest{Patterns: []string{"*"}})
		noError(t, err)
		if len(l) != 1 || l[0].Name != "INBOX" {
			t.Errorf("got %+v", l)
		}
	})
}

// TestAttributesTold: what was told of is known afterwards, unless that is too
// much.
func TestAttributesTold(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1] x
		C: A UID FETCH 5:* (UID)
		S: * 1 FETCH (UID 9)
		S: * 2 FETCH (UID 7)
		S: * 3 FETCH (UID 8)
		S: * 4 FETCH (UID 4)
		S: * 5 FETCH (UID 7)
		S: A NO [UNAVAILABLE] x
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		got, err := c.FetchAttributes(context.Background(), AttributesRequest{UIDs: From(5)}, func(*Message) error { return nil })
		refusal(t, err)
		if got.UIDs.String() != "7:9" || got.Scattered {
			t.Errorf("got %+v", got)
		}
	})
}
