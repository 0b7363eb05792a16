package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
)

// keyPrefix is how a key of Standard Webhooks is told from other secrets.
const keyPrefix = "whsec_"

// Key returns the bytes of a key that signs webhooks: whsec_, then base64 of 24 to 64
// bytes. file:PATH is a file that has such a key on its only line. No error has the key.
func Key(text string) ([]byte, error) {
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		key, err := decode(strings.TrimSpace(string(data)))
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return key, err
	}
	return decode(text)
}

func decode(text string) ([]byte, error) {
	code, ok := strings.CutPrefix(text, keyPrefix)
	key, err := base64.StdEncoding.DecodeString(code)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("it is no " + keyPrefix + " with 24 to 64 bytes in base64")
	}
	return key, nil
}
