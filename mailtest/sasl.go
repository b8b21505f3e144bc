package mailtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" // CRAM-MD5's hash (RFC 2195)
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1" // SCRAM-SHA-1's hash (RFC 5802)
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"
)

// How a SASL exchange may fail without the connection's fault.
var (
	errRefused   = errors.New("login refused")
	errCancelled = errors.New("login cancelled")
	errNotBase64 = errors.New("response is not base64")
)

// saslExchange is the server's side of one login (RFC 4422).
type saslExchange struct {
	initial     []byte // the initial response; nil: the client sent none
	ask         func(challenge []byte) (response []byte, err error)
	password    func(user string) (string, bool)
	certificate func() string // the TLS client's name, or ""
}

// run speaks the mechanism called name and returns who has logged in, or
// errRefused and who it would have been.
func (x *saslExchange) run(name string) (user string, err error) {
	switch name {
	case "PLAIN":
		return x.plain()
	case "LOGIN":
		return x.login()
	case "CRAM-MD5":
		return x.cramMD5()
	case "SCRAM-SHA-1":
		return x.scram(sha1.New)
	case "SCRAM-SHA-256":
		return x.scram(sha256.New)
	case "XOAUTH2":
		return x.bearer("user=", []byte{})
	case "OAUTHBEARER":
		return x.bearer("n,a=", []byte{1})
	case "EXTERNAL":
		return x.external()
	}
	return "", errRefused
}

// decodeInitial decodes an initial response; "=" is an empty one (RFC 5034 section 4).
func decodeInitial(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// first is the initial response, asked for if it did not come by itself.
func (x *saslExchange) first() ([]byte, error) {
	if x.initial != nil {
		return x.initial, nil
	}
	return x.ask(nil)
}

// check compares a password without regard to how.
func (x *saslExchange) check(user, password string) (string, error) {
	want, known := x.password(user)
	if !known || want != password {
		return user, errRefused
	}
	return user, nil
}

// plain is RFC 4616: authorization identity, user and password between NULs.
func (x *saslExchange) plain() (string, error) {
	response, err := x.first()
	if err != nil {
		return "", err
	}
	fields := bytes.Split(response, []byte{0})
	if len(fields) != 3 || (len(fields[0]) > 0 && !bytes.Equal(fields[0], fields[1])) {
		return "", errRefused
	}
	return x.check(string(fields[1]), string(fields[2]))
}

// login is draft-murchison-sasl-login: two questions.
func (x *saslExchange) login() (string, error) {
	user := x.initial
	var err error
	if user == nil {
		if user, err = x.ask([]byte("Username:")); err != nil {
			return "", err
		}
	}
	password, err := x.ask([]byte("Password:"))
	if err != nil {
		return "", err
	}
	return x.check(string(user), string(password))
}

// cramMD5 is RFC 2195: the keyed digest of a challenge.
func (x *saslExchange) cramMD5() (string, error) {
	if x.initial != nil {
		return "", errRefused // the server speaks first
	}
	challenge := fmt.Sprintf("<%d.%d@mailtest.example>", randomNumber(), time.Now().Unix())
	response, err := x.ask([]byte(challenge))
	if err != nil {
		return "", err
	}
	i := bytes.LastIndexByte(response, ' ') // user names may hold spaces
	if i < 0 {
		return "", errRefused
	}
	user := string(response[:i])
	password, known := x.password(user)
	mac := hmac.New(md5.New, []byte(password))
	mac.Write([]byte(challenge))
	if !known || hex.EncodeToString(mac.Sum(nil)) != string(response[i+1:]) {
		return user, errRefused
	}
	return user, nil
}

// bearer is XOAUTH2 and OAUTHBEARER (RFC 7628): key=value pairs between 0x01.
// A failure is told in a challenge, which the client answers with dummy.
func (x *saslExchange) bearer(userPrefix string, dummy []byte) (string, error) {
	response, err := x.first()
	if err != nil {
		return "", err
	}
	var user, token string
	for i, field := range strings.Split(string(response), "\x01") {
		if rest, ok := strings.CutPrefix(field, userPrefix); ok && i == 0 {
			user = strings.TrimSuffix(rest, ",") // the GS2 header ends with a comma
		}
		if rest, ok := strings.CutPrefix(field, "auth=Bearer "); ok {
			token = rest
		}
	}
	user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user)
	if want, known := x.password(user); known && token != "" && token == want {
		return user, nil
	}
	answer, err := x.ask([]byte(`{"status":"401","schemes":"bearer","scope":"mail"}`))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(answer, dummy) {
		return "", errCancelled
	}
	return user, errRefused
}

// external is RFC 4422 appendix A: TLS has said who the client is.
func (x *saslExchange) external() (string, error) {
	response, err := x.first()
	if err != nil {
		return "", err
	}
	user := x.certificate()
	if user == "" || (len(response) > 0 && string(response) != user) {
		return user, errRefused
	}
	return user, nil
}

// scram is RFC 5802 (and 7677) without channel binding. The password is
// compared as it is: names and passwords in tests need no preparation.
func (x *saslExchange) scram(newHash func() hash.Hash) (string, error) {
	const iterations = 4096
	message, err := x.first()
	if err != nil {
		return "", err
	}
	header, bare, ok := cutGS2(string(message))
	fields := scramFields(bare)
	if !ok || fields["n"] == "" || fields["r"] == "" {
		return "", errRefused
	}
	user := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(fields["n"])
	password, known := x.password(user)
	salt := []byte(fmt.Sprintf("%016x", randomNumber()))
	nonce := fields["r"] + fmt.Sprintf("%016x", randomNumber())
	serverFirst := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString(salt), iterations)
	message, err = x.ask([]byte(serverFirst))
	if err != nil {
		return "", err
	}
	final := string(message)
	withoutProof, proofText, _ := strings.Cut(final, ",p=")
	fields = scramFields(withoutProof)
	binding, err1 := base64.StdEncoding.DecodeString(fields["c"])
	proof, err2 := base64.StdEncoding.DecodeString(proofText)
	if err1 != nil || err2 != nil || string(binding) != header || fields["r"] != nonce || !known {
		return user, errRefused
	}
	salted, err := pbkdf2.Key(newHash, password, salt, iterations, newHash().Size())
	if err != nil {
		return user, err
	}
	signed := []byte(bare + "," + serverFirst + "," + withoutProof)
	clientKey := keyed(newHash, salted, []byte("Client Key"))
	h := newHash()
	h.Write(clientKey)
	want := keyed(newHash, h.Sum(nil), signed)
	for i := range want {
		want[i] ^= clientKey[i]
	}
	if !hmac.Equal(want, proof) {
		return user, errRefused
	}
	signature := keyed(newHash, keyed(newHash, salted, []byte("Server Key")), signed)
	// The server's proof goes in a challenge, since the final reply has no room for it.
	if _, err := x.ask([]byte("v=" + base64.StdEncoding.EncodeToString(signature))); err != nil {
		return user, err
	}
	return user, nil
}

// cutGS2 splits a SCRAM client's first message behind its GS2 header.
func cutGS2(message string) (header, bare string, ok bool) {
	parts := strings.SplitN(message, ",", 3)
	if len(parts) != 3 || (parts[0] != "n" && parts[0] != "y") {
		return "", "", false
	}
	header = parts[0] + "," + parts[1] + ","
	return header, parts[2], true
}

// scramFields reads the comma-separated attributes of a SCRAM message.
func scramFields(message string) map[string]string {
	fields := make(map[string]string)
	for _, field := range strings.Split(message, ",") {
		if name, value, ok := strings.Cut(field, "="); ok {
			fields[name] = value
		}
	}
	return fields
}

func keyed(newHash func() hash.Hash, key, message []byte) []byte {
	mac := hmac.New(newHash, key)
	mac.Write(message)
	return mac.Sum(nil)
}

func randomNumber() uint64 {
	var octets [8]byte
	_, _ = rand.Read(octets[:]) // never fails
	var n uint64
	for _, c := range octets {
		n = n<<8 | uint64(c)
	}
	return n
}
