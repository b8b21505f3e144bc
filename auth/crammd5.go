package auth

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"

	"github.com/emersion/go-sasl"
)

// cramMD5Client is CRAM-MD5 (RFC 2195): the HMAC of the server's text under
// the password.
type cramMD5Client struct {
	user     string
	password secret
	asked    bool
}

func (c *cramMD5Client) Start() (string, []byte, error) { return cramMD5, nil, nil }

func (c *cramMD5Client) Next(challenge []byte) ([]byte, error) {
	if c.asked {
		return nil, failed("log in with CRAM-MD5", sasl.ErrUnexpectedServerChallenge)
	}
	c.asked = true
	// The answer to an empty challenge is the same every time, and so as good
	// as a password to whoever records it.
	if len(challenge) == 0 {
		return nil, malformed(cramMD5, "it is empty")
	}
	mac := hmac.New(md5.New, []byte(c.password()))
	mac.Write(challenge)
	return []byte(c.user + " " + hex.EncodeToString(mac.Sum(nil))), nil
}
