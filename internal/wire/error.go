package wire

import (
	"encoding/json"
	"strings"
)

// ErrorBody is what a failed request is answered with. ErrorMessage is a JSON document in a string: the
// double encoding is what the clients parse.
type ErrorBody struct {
	ErrorMessage string `json:"error_message"`
}

// NewError is the body of a failure inside a handler: a fault document.
func NewError(status int, text string) ErrorBody {
	code := "Server"
	if status < 500 {
		code = "Client"
	}
	return encodeError(struct {
		FaultCode   string  `json:"faultcode"`
		FaultString string  `json:"faultstring"`
		DebugInfo   *string `json:"debuginfo"`
	}{code, text, nil})
}

// NewRouteError is the body of a failure before any handler: unknown path, wrong method, version. title is
// the status in words.
func NewRouteError(status int, title, text string) ErrorBody {
	return encodeError(struct {
		Code        int    `json:"code"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}{status, title, text})
}

// LoginError is the body of a refusal before anybody knows who asks. Source: RBAC reference §1.
type LoginError struct {
	Error struct {
		Code    int    `json:"code"`
		Title   string `json:"title"`
		Message string `json:"message"`
	} `json:"error"`
}

// NewLoginError makes one. title is the status in words.
func NewLoginError(status int, title, text string) LoginError {
	var b LoginError
	b.Error.Code, b.Error.Title, b.Error.Message = status, title, text
	return b
}

func encodeError(doc any) ErrorBody {
	j, err := json.Marshal(doc)
	if err != nil { // strings and integers only: it cannot happen, and an empty document is still valid
		j = []byte("{}")
	}
	return ErrorBody{ErrorMessage: string(j)}
}

// ErrorText finds the sentence in the body of a failed request, in any of the forms servers use; "" if there
// is none. The inner document may be missing: then error_message itself is the sentence.
func ErrorText(body []byte) string {
	var outer struct {
		ErrorMessage json.RawMessage `json:"error_message"`
		FaultString  string          `json:"faultstring"`
		Error        struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return ""
	}
	text := ""
	inner := []byte(outer.ErrorMessage)
	if json.Unmarshal(outer.ErrorMessage, &text) == nil {
		inner = []byte(text)
	}
	var doc struct {
		FaultString string `json:"faultstring"`
		Description string `json:"description"`
	}
	if json.Unmarshal(inner, &doc) == nil {
		text = ""
	}
	for _, s := range []string{doc.FaultString, doc.Description, text, outer.FaultString, outer.Error.Message} {
		if s = strings.TrimSpace(s); s != "" {
			return s
		}
	}
	return ""
}
