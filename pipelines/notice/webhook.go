package notice

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/runners/store"
)

// A post is one message to a webhook, which may take several attempts.
type post struct {
	url  string
	id   string
	body []byte
	key  []byte // that signs it; nil: nothing does
}

// newID returns the id of a message, by which a receiver tells that it has it already.
func newID() string { return "msg_" + rand.Text() }

// webhookTransport sends one request. It follows no redirect: a redirected POST may become
// a GET without the news, and its Referer would be the URL. Tests replace it.
var webhookTransport = http.DefaultTransport

// send makes one attempt. Its errors have no part of the URL but the name of the host.
func (p *post) send(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, webhookTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return errors.New("not a URL that can be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	if p.key != nil {
		p.sign(req.Header, time.Now())
	}
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	resp, err := webhookTransport.RoundTrip(req)
	if err != nil {
		return secret.Error(err) // such as that of a proxy's address
	}
	resp.Body.Close()
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("%w, a redirect, which is not followed: use the address that it leads to", store.StatusError(resp))
	case resp.StatusCode >= 400:
		return store.StatusError(resp)
	}
	return nil
}

// sign adds the headers of Standard Webhooks 1.0: the signature covers id, time and body,
// so that a message cannot be changed, nor be sent again later.
func (p *post) sign(h http.Header, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, p.key)
	fmt.Fprintf(mac, "%s.%s.%s", p.id, at, p.body)
	h.Set("webhook-id", p.id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
