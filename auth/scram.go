package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"
)

// Rounds of PBKDF2 that we compute when a server asks for them. Fewer than
// 4096 make a recorded exchange cheap to search (RFC 7677 section 4); the
// upper end keeps a server from stopping us: a million take about half a
// second, and the computation cannot be cancelled.
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

// scramClient is SCRAM-SHA-1 (RFC 5802) or SCRAM-SHA-256 (RFC 7677) without
// channel binding. What the server sends is read here first; the library only
// computes.
type scramClient struct {
	name         string
	nonce        string
	conversation *scram.ClientConversation
	first        string // the client-first-message, once it is made
	step         scramStep
}

// scramStep is what is awaited from the server.
type scramStep int

const (
	awaitFirst scramStep = iota
	awaitFinal
	awaitNothing
)

// newSCRAM makes a client; nonce is empty but in tests, which need a known one.
func newSCRAM(name, user, password, nonce string) (*scramClient, error) {
	hash := scram.SHA256
	if name == scramSHA1 {
		hash = scram.SHA1
	}
	// SASLprep knows Unicode 3.2 and refuses newer characters such as emoji,
	// but people have them in passwords, and the servers that took them do
	// not prepare either.
	client, err := hash.NewClient(user, password, "")
	if err != nil {
		client, err = hash.NewClientUnprepped(user, password, "")
	}
	if err != nil {
		return nil, failed("log in with "+name, errors.New("the password cannot be prepared"))
	}
	if nonce == "" {
		nonce = rand.Text()
	}
	client.WithMinIterations(minIterations).WithNonceGenerator(func() string { return nonce })
	return &scramClient{name: name, nonce: nonce, conversation: client.NewConversation()}, nil
}

// Start may be called again until the server has answered, with one result.
func (c *scramClient) Start() (string, []byte, error) {
	if c.first == "" {
		first, err := c.conversation.Step("")
		if err != nil {
			return "", nil, failed("log in with "+c.name, err)
		}
		c.first = first
	}
	return c.name, []byte(c.first), nil
}

func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	awaited := c.step
	c.step++
	if c.first == "" || awaited >= awaitNothing {
		c.step = awaitNothing
		return nil, failed("log in with "+c.name, sasl.ErrUnexpectedServerChallenge)
	}
	response, err := c.answer(awaited, string(challenge))
	if err != nil {
		c.step = awaitNothing
		return nil, err
	}
	return []byte(response), nil
}

func (c *scramClient) answer(awaited scramStep, message string) (string, error) {
	if reason, ok := strings.CutPrefix(message, "e="); ok {
		return "", c.serverError(reason)
	}
	if awaited == awaitFirst {
		if err := c.checkServerFirst(message); err != nil {
			return "", err
		}
	}
	response, err := c.conversation.Step(message)
	switch {
	case err == nil:
		return response, nil
	case awaited == awaitFinal:
		return "", refused("verify server", "its proof of knowing the password is wrong; it may not be the server it says it is")
	}
	// The library's text would repeat the message as it came.
	return "", malformed(c.name, "the answer cannot be computed")
}

// Verified reports whether the server has proved that it knows the password.
func (c *scramClient) Verified() bool { return c.conversation.Valid() }

// serverError reads a server-error-value (RFC 5802 section 7).
func (c *scramClient) serverError(reason string) error {
	op, value := "log in with "+c.name, quote(reason)
	switch reason {
	case "no-resources", "other-error":
		return failed(op, errors.New("the server refused: "+value))
	}
	return refused(op, "the server refused: %s", value)
}

// checkServerFirst refuses, before anything is computed, what must not be
// answered.
func (c *scramClient) checkServerFirst(message string) error {
	first, err := parseServerFirst(message)
	if err != nil {
		return malformed(c.name, "%w", err)
	}
	if !strings.HasPrefix(first.nonce, c.nonce) || len(first.nonce) == len(c.nonce) {
		return malformed(c.name, "its nonce does not go on from ours")
	}
	switch {
	case first.iterations < minIterations:
		return refused("log in with "+c.name, "the server asks for %d rounds only, and fewer than %d do not protect the password", first.iterations, minIterations)
	case first.iterations > maxIterations:
		return refused("log in with "+c.name, "the server asks for more than %d rounds", maxIterations)
	}
	return nil
}

// serverFirst is the server-first-message of RFC 5802 section 7.
type serverFirst struct {
	nonce      string
	salt       []byte
	iterations int // maxIterations+1 stands for anything larger
}

func parseServerFirst(message string) (serverFirst, error) {
	if strings.HasPrefix(message, "m=") {
		return serverFirst{}, errors.New("it demands an extension that we do not know")
	}
	// Extensions may follow the three fields; they are optional by definition.
	fields := strings.SplitN(message, ",", 4)
	if len(fields) < 3 {
		return serverFirst{}, errors.New("it lacks a field")
	}
	nonce, hasNonce := strings.CutPrefix(fields[0], "r=")
	salt, hasSalt := strings.CutPrefix(fields[1], "s=")
	rounds, hasRounds := strings.CutPrefix(fields[2], "i=")
	if !hasNonce || !hasSalt || !hasRounds {
		return serverFirst{}, errors.New("its fields are not r, s and i")
	}
	if nonce == "" || !isVisible(nonce) {
		return serverFirst{}, errors.New("its nonce is not visible ASCII")
	}
	// The decoder skips line ends, which have no place here.
	decoded, err := base64.StdEncoding.DecodeString(salt)
	if err != nil || len(decoded) == 0 || !isVisible(salt) {
		return serverFirst{}, errors.New("its salt is not base64")
	}
	iterations, err := parseIterations(rounds)
	return serverFirst{nonce: nonce, salt: decoded, iterations: iterations}, err
}

// parseIterations reads a posit-number, a decimal without sign or leading
// zero; however long it is, it cannot overflow.
func parseIterations(digits string) (int, error) {
	if digits == "" || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return 0, errors.New("its number of rounds is not a number")
	}
	if len(digits) > len(strconv.Itoa(maxIterations)) {
		return maxIterations + 1, nil
	}
	n, err := strconv.Atoi(digits)
	return min(n, maxIterations+1), err
}
