package pop3

import "context"

// Delete marks messages as deleted with DELE, many in flight where the server
// offers PIPELINING, and tells each of them the outcome: nil, or the *ReplyError
// of a refusal, which does not stop the rest. They are deleted when Quit has
// succeeded, and not at all if the session ends in another way (RFC 1939
// section 6).
func (c *Client) Delete(ctx context.Context, numbers []int, each func(number int, err error)) error {
	return c.pipeline(ctx, batch{
		verb: "DELE",
		n:    len(numbers),
		line: func(dst []byte, i int) []byte {
			return appendCommand(dst, "DELE", numbers[i])
		},
		octets: func(int) int64 { return 0 },
		answer: func(i int) error {
			_, err := c.reply("DELE")
			if c.failed != nil {
				return c.failed
			}
			each(numbers[i], err)
			return nil
		},
	})
}
