package imap

import (
	"context"
	"fmt"
	"strings"
)

// Store adds flags to messages, silently (RFC 9051 section 6.4.9). Messages that
// are gone are passed over by the server without a word.
func (c *Client) Store(ctx context.Context, uids UIDSet, flags ...string) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return c.store(uids, flags)
}

func (c *Client) store(uids UIDSet, flags []string) error {
	if err := checkFlags("STORE", flags); err != nil {
		return err
	}
	return c.inPieces("UID STORE", uids, nil, func(set UIDSet) *command {
		return c.command("UID STORE").uids(set).raw(" +FLAGS.SILENT (" + strings.Join(flags, " ") + ")")
	})
}

func checkFlags(verb string, flags []string) error {
	for _, f := range flags {
		if !isWord(strings.TrimPrefix(f, `\`)) {
			return fmt.Errorf("send %s: %q is not a flag", verb, f)
		}
	}
	return nil
}

// Expunge removes those of the messages that are marked \Deleted, and no others
// (UID EXPUNGE, RFC 4315 section 2.1). Without UIDPLUS that cannot be done, and is
// errors.ErrUnsupported: a bare EXPUNGE would remove whatever anybody marked.
//
// A server may say OK and have done nothing: only a Search tells.
func (c *Client) Expunge(ctx context.Context, uids UIDSet) error {
	leave, err := c.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := c.need("UID EXPUNGE", "UIDPLUS"); err != nil {
		return err
	}
	return c.expunge(uids)
}

func (c *Client) expunge(uids UIDSet) error {
	return c.inPieces("UID EXPUNGE", uids, nil, func(set UIDSet) *command {
		return c.command("UID EXPUNGE").uids(set)
	})
}
