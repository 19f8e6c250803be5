package gitserver

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// Claims are the claims of an app's JSON web token.
type Claims struct {
	Issued  int64  `json:"iat"` // in seconds since 1970
	Expires int64  `json:"exp"` // in seconds since 1970
	Issuer  string `json:"iss"` // the client id or app id
}

// GitHub's messages for a rejected JSON web token.
const (
	// NotDecoded is for a malformed token, an unknown issuer or an invalid signature.
	NotDecoded = "A JSON web token could not be decoded"
	// NotYet is for a token that was issued in the future.
	NotYet = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
	// Expired is for an expired token.
	Expired = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
	// TooLong is for a token that expires in more than ten minutes.
	TooLong = "'Expiration time' claim ('exp') is too far in the future"
)

// Verify returns the claims of a token that is signed with RS256 by one of its
// issuer's keys and is valid at now. Otherwise refusal is one of the messages above.
func Verify(token string, keys map[string][]*rsa.PublicKey, now time.Time) (claims Claims, refusal string) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}, NotDecoded
	}
	var header struct {
		Algorithm string `json:"alg"`
		Type      string `json:"typ"`
	}
	if !decode(parts[0], &header) || header.Algorithm != "RS256" || header.Type != "JWT" || !decode(parts[1], &claims) {
		return Claims{}, NotDecoded
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil || !signed(keys[claims.Issuer], parts[0]+"."+parts[1], signature) {
		return Claims{}, NotDecoded
	}
	switch at := now.Unix(); {
	case claims.Issued == 0 || claims.Issued > at:
		return Claims{}, NotYet
	case claims.Expires <= at:
		return Claims{}, Expired
	case claims.Expires > at+600:
		return Claims{}, TooLong
	}
	return claims, ""
}

func decode(part string, into any) bool {
	data, err := base64.RawURLEncoding.Strict().DecodeString(part)
	return err == nil && json.Unmarshal(data, into) == nil
}

func signed(keys []*rsa.PublicKey, text string, signature []byte) bool {
	sum := sha256.Sum256([]byte(text))
	for _, key := range keys {
		if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil {
			return true
		}
	}
	return false
}
