package imap

import (
	"context"
	"errors"
	"testing"
)

func TestAhead(t *testing.T) {
	dialogue(t, Options{Secure: true}, `
		S: * PREAUTH [CAPABILITY IMAP4rev1 ENABLE ID LIST-EXTENDED ESEARCH] x
		C: A ID ("name" "p")
		C: B ENABLE QRESYNC
		C: C LIST "" "*"
		C: D SELECT "INBOX" (CONDSTORE)
		C: E UID SEARCH RETURN (ALL) UID 5:*
		C: F UID FETCH 7:* (UID FLAGS)
		S: * ID NIL
		S: A OK
		S: * ENABLED QRESYNC
		S: B OK
		S: * LIST () "/" INBOX
		S: C OK
		S: * OK [UIDVALIDITY 7] x
		S: D OK
		S: * ESEARCH (TAG "A") UID ALL 9
		S: E OK
		S: * 1 FETCH (UID 9 FLAGS ())
		S: F OK
		C: G NOOP
		S: G OK
	`, func(t *testing.T, c *Client, err error) {
		noError(t, err)
		ctx := context.Background()
		id := map[string]string{"name": "p"}
		list := ListRequest{Patterns: []string{"*"}}
		attributes := AttributesRequest{UIDs: From(7), Items: ItemFlags}
		noError(t, c.Ahead(ctx, AheadID(id), AheadEnable("QRESYNC"), AheadList(list),
			AheadSelect("INBOX", SelectOptions{CondStore: true}), AheadSearch(From(5)), AheadAttributes(attributes)))
		_, err = c.ID(ctx, id)
		noError(t, err)
		_, err = c.Enable(ctx, "QRESYNC")
		noError(t, err)
		l, err := c.List(ctx, list)
		if err != nil || len(l) != 1 {
			t.Errorf("got %v, %v", l, err)
		}
		s, err := c.Select(ctx, "INBOX", SelectOptions{CondStore: true})
		if err != nil || s.UIDValidity != 7 {
			t.Errorf("got %v, %v", s, err)
		}
		u, err := c.Search(ctx, From(5))
		if err != nil || u.String() != "9" {
			t.Errorf("got %v, %v", u, err)
		}
		n := 0
		_, err = c.FetchAttributes(ctx, attributes, func(*Message) error { n++; return nil })
		if err != nil || n != 1 {
			t.Errorf("got %d, %v", n, err)
		}
		noError(t, c.Noop(ctx))
	})
}

func TestAheadMisused(t *testing.T) {
	for name, tt := range map[string]struct {
		said string
		call func(c *Client) error
	}{
		"another call": {"STALL", func(c *Client) error { return c.Noop(context.Background()) }},
		"another mailbox": {"STALL", func(c *Client) error {
			_, err := c.Select(context.Background(), "other", SelectOptions{})
			return err
		}},
		"another order": {"S: B OK\nSTALL", func(c *Client) error {
			_, err := c.Enable(context.Background(), "QRESYNC")
			return err
		}},
		"STARTTLS": {"STALL", func(c *Client) error { return c.fail(c.Compress(context.Background())) }},
	} {
		t.Run(name, func(t *testing.T) {
			dialogue(t, Options{Secure: true}, `
				S: * PREAUTH [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] x
				C: A ENABLE QRESYNC
				C: B SELECT "INBOX"
			`+tt.said, func(t *testing.T, c *Client, err error) {
				noError(t, err)
				noError(t, c.Ahead(context.Background(), AheadEnable("QRESYNC"), AheadSelect("INBOX", SelectOptions{})))
				broken(t, c, tt.call(c), ErrAhead)
			})
		})
	}
	dialogue(t, Options{}, "S: * OK", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		if err := c.Ahead(context.Background(), AheadID(nil)); err == nil {
			t.Error("sent before the login")
		}
	})
	dialogue(t, Options{Secure: true}, "S: * PREAUTH [CAPABILITY X] x", func(t *testing.T, c *Client, err error) {
		noError(t, err)
		err = c.Ahead(context.Background(), AheadID(nil), AheadList(ListRequest{Patterns: []string{"*"}}))
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
		if c.Ahead(context.Background(), AheadSelect("\xff", SelectOptions{})) == nil {
			t.Error("a literal went ahead")
		}
	})
}
