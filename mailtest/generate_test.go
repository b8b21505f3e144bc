package mailtest

import (
	"bytes"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"
)

func TestGenerateIsDeterministic(t *testing.T) {
	many, few := Generate(7, 40, 64<<10), Generate(7, 10, 64<<10)
	for i, m := range few {
		if m.Name != many[i].Name || !bytes.Equal(m.Octets, many[i].Octets) {
			t.Fatalf("message %d depends on how many there are", i)
		}
	}
	if bytes.Equal(Generate(8, 1, 0)[0].Octets, Generate(7, 1, 0)[0].Octets) {
		t.Error("another seed gives the same message")
	}
}

func TestGenerateSizes(t *testing.T) {
	var sizes []int
	total := 0
	for _, octets := range Generated(1, 1000, 0) {
		sizes = append(sizes, len(octets))
		total += len(octets)
	}
	slices.Sort(sizes)
	median, mean := sizes[len(sizes)/2], total/len(sizes)
	if median < 6<<10 || median > 10<<10 {
		t.Errorf("median size %d, want about %d", median, medianSize)
	}
	if mean < 25<<10 || mean > 60<<10 {
		t.Errorf("mean size %d, want about 40 KB", mean)
	}
	if most := sizes[len(sizes)-1]; most > largest+2000 {
		t.Errorf("largest message %d", most)
	}
	for i, octets := range Generated(1, 200, 3000) {
		if len(octets) > 3000+2000 {
			t.Errorf("message %d has %d octets where 3000 were the most", i, len(octets))
		}
	}
}

func TestGenerateLooksLikeMail(t *testing.T) {
	ids, seen := map[string]bool{}, map[string]int{}
	for i, octets := range Generated(3, 300, 32<<10) {
		m, err := mail.ReadMessage(bytes.NewReader(octets))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if m.Header.Get("X-Test-Id") != fmt.Sprint(i) || ids[m.Header.Get("Message-Id")] {
			t.Errorf("message %d: number %s, id %s", i, m.Header.Get("X-Test-Id"), m.Header.Get("Message-Id"))
		}
		ids[m.Header.Get("Message-Id")] = true
		if _, err := m.Header.Date(); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
		if octets[len(octets)-1] != '\n' || bytes.ContainsAny(octets, "\r\x00") {
			t.Errorf("message %d has other line ends than LF", i)
		}
		text := string(octets)
		for feature, mark := range map[string]string{
			"dot": "\n.", "lone dot": "\n.\n", "From": "\nFrom ", "html": "text/html", "base64": "\nContent-Transfer-Encoding: base64",
			"8bit": "\nContent-Transfer-Encoding: 8bit", "encoded word": "Subject: =?", "Chinese": "邮件", "list": "\nList-Id:",
		} {
			if strings.Contains(text, mark) {
				seen[feature]++
			}
		}
		for _, line := range strings.Split(text, "\n") {
			if len(line) > 800 {
				seen["long line"]++
				break
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("features %v: not all ten are there", seen)
	}
	for feature, n := range seen {
		if n < 10 {
			t.Errorf("%s: only %d of 300", feature, n)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	n := 0
	for _, octets := range Generated(1, b.N, 0) {
		n += len(octets)
	}
	b.SetBytes(int64(n / b.N))
}
