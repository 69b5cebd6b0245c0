package prometheus

import (
	"compress/flate"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/oauth2"
)

// maxMessageRunes bounds what is repeated of a backend's words. The messages of PromQL are far shorter.
const maxMessageRunes = 300

// unreachable returns the error of a request that brought no answer. Go's own texts name addresses and URLs, so
// the reason is made of the kinds that they are of.
func unreachable(err error) *Error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // The text of request holds the URL.
	}
	if isCredentialsFile(err) {
		return failure(ClassUnauthorized, err, "was not asked, the credentials for it cannot be used: %s", err)
	}
	if token, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Its text repeats what the token endpoint says, which may be anything.
		return failure(ClassUnauthorized, nil, "was not asked, the OAuth 2.0 token endpoint gave no token (HTTP %d)", token.Response.StatusCode)
	}
	return failure(ClassUnreachable, err, "cannot be reached: %s", connectionReason(err))
}

// isCredentialsFile tells whether err is about a file that the configuration names. The errors that
// prometheus/common/config makes of the content of a file have no type.
func isCredentialsFile(err error) bool {
	_, ok := errors.AsType[*fs.PathError](err)
	return ok || strings.HasPrefix(err.Error(), "unable to use specified ")
}

// connectionReason says why there is no connection, without address.
func connectionReason(err error) string {
	var (
		lookup    *net.DNSError
		network   net.Error
		errno     syscall.Errno
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		operation *net.OpError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "its host name is not known"
	case errors.As(err, &lookup):
		return "its host name cannot be resolved"
	case errors.As(err, &authority):
		return "its certificate is signed by an authority that is not trusted"
	case errors.As(err, &host):
		return "its certificate is for another host name"
	case errors.As(err, &invalid):
		return "its certificate is not valid: " + invalid.Error()
	case errors.As(err, &operation) && operation.Op == "remote error": // So crypto/tls names an alert.
		return "it refused the TLS handshake: " + operation.Err.Error()
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "it does not speak TLS"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &network) && network.Timeout():
		return "the connection cannot be made in time"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closed the connection without an answer"
	default:
		return "the request failed"
	}
}

// isCorrupt tells whether err is that of a compressed stream that cannot be decompressed.
func isCorrupt(err error) bool {
	_, ok := errors.AsType[flate.CorruptInputError](err)
	return ok || errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum)
}

// anyURL finds URLs. Proxies repeat the one that they were asked for, and with it what is in its query.
var anyURL = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`)

// sanitize returns the beginning of a backend's words in one line of printable characters, without URLs.
func sanitize(message string) string {
	message = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, message)
	message = anyURL.ReplaceAllString(strings.Join(strings.Fields(message), " "), "[URL]")
	runes := []rune(message)
	if len(runes) > maxMessageRunes {
		return string(runes[:maxMessageRunes]) + "…"
	}
	return string(runes)
}
