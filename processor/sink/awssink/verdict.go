package awssink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"keytrail/processor/sink"
	"keytrail/processor/sink/httpsink"
	"keytrail/processor/source/aws/client"
)

// meaning is what a code says about the records of a request.
type meaning int

const (
	unknown     meaning = iota
	again               // the service is busy or faulty
	invalid             // a record cannot be taken
	tooLarge            // the request is too large
	credentials         // the sender may not do this
	target              // the bucket, queue, topic or KMS key is missing or disabled
	address             // the request went to the wrong endpoint or Region
	redirect            // the service names another endpoint
)

// queuePrefix begins codes of SQS in its older protocol.
const queuePrefix = "AWS.SimpleQueueService."

// meanings are the codes beyond those that the SDK and package client know. Sources: the
// sections "Errors" of PutObject (S3), SendMessageBatch (SQS) and PublishBatch (SNS), and
// "Error responses" of the S3 API Reference.
var meanings = map[string]meaning{
	"InternalError": again, "InternalFailure": again, "InternalErrorException": again, "InternalServerError": again,
	"ServiceUnavailable": again, "OperationAborted": again, "ConditionalRequestConflict": again,
	"KMSThrottling": again, "KMSThrottlingException": again, "KMS.ThrottlingException": again, "KmsThrottled": again,

	"InvalidMessageContents": invalid, "InvalidParameter": invalid, "InvalidParameterValue": invalid,
	"ParameterValueInvalid": invalid, "ValidationException": invalid, "ValidationError": invalid,
	"BatchRequestTooLong": tooLarge, "EntityTooLarge": tooLarge, "RequestEntityTooLarge": tooLarge,
	"MaxMessageLengthExceeded": tooLarge, "MessageTooLong": tooLarge,

	"RequestTimeTooSkewed": credentials, "RequestExpired": credentials, "IncompleteSignature": credentials,
	"TokenRefreshRequired": credentials, "AuthorizationError": credentials, "AuthorizationErrorException": credentials,
	"InvalidSecurity": credentials, "InvalidClientTokenId": credentials, "InvalidAccessKeyId": credentials,

	"NoSuchBucket": target, "NonExistentQueue": target, "QueueDoesNotExist": target, "QueueDeletedRecently": target,
	"NotFound": target, "NotFoundException": target, "ResourceNotFoundException": target, "EndpointDisabled": target,
	"UnsupportedOperation": target, "NoSuchAccessPoint": target,

	"PermanentRedirect": redirect, "TemporaryRedirect": redirect, "AuthorizationHeaderMalformed": address,
	"IllegalLocationConstraintException": address, "InvalidAddress": address, "InvalidBucketName": address,
	"InvalidAccessPointAliasError": address,
}

// mean returns what a code says. text is the message beside it.
func mean(code, text string) meaning {
	code = strings.TrimPrefix(code, queuePrefix)
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	_, retryable := retry.DefaultRetryableErrorCodes[code]
	m := meanings[code]
	switch {
	case throttled, retryable:
		return again
	case m == invalid && ofTarget(text):
		return address
	case m != unknown:
		return m
	case strings.HasPrefix(code, "KMS"), strings.HasPrefix(code, "Kms"):
		return credentials // of the key that encrypts the queue, the topic or the bucket
	}
	return unknown
}

// ofTarget reports whether the message of an invalid parameter is about the name of the
// queue or topic: every record would meet the same.
func ofTarget(text string) bool {
	for _, name := range []string{"TopicArn", "QueueUrl", "topic arn", "queue url"} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// Verdict returns an error of a call as one of package sink, about all records of the call:
// see meanings. It returns nil for nil.
func Verdict(err error) error {
	if err == nil {
		return nil
	}
	var none *noCredentials
	var broken *brokenAnswer
	if errors.As(err, &none) {
		return &sink.Paused{Cause: sink.CauseCredentials, Err: none}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	said := client.Short(err)
	code := client.Code(err)
	if code == "UnknownError" {
		code = "" // the SDK's word for an answer without a code
	}
	status, header := response(err)
	if code != "" {
		if m := mean(code, said.Error()); m != unknown {
			return m.verdict(said, httpsink.RetryAfter(header, time.Now()))
		}
		if client.Forbidden(err) {
			return credentials.verdict(said, 0)
		}
	}
	switch {
	case status == 0:
		return httpsink.Failure(err)
	case status/100 == 2 && (errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)):
		return err // whether the service finished is not known
	case status/100 == 2:
		return httpsink.NotProtocol("the answer with status %d cannot be read: %s", status, httpsink.Clean(err.Error()))
	case code != "" && (status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge ||
		status == http.StatusUnprocessableEntity): // the code does not say that a record is at fault
		return &sink.Paused{Cause: sink.CauseProtocol, Err: said}
	}
	a := httpsink.Answer{Status: status, Header: header}
	return a.Verdict(httpsink.Clean(said.Error()))
}

// verdict returns the error for a meaning.
func (m meaning) verdict(said error, after time.Duration) error {
	switch m {
	case again:
		return &sink.Throttled{After: after, Err: said}
	case invalid:
		return &sink.Rejected{Reason: sink.ReasonInvalid, Split: true, Err: said}
	case tooLarge:
		return &sink.Rejected{Reason: sink.ReasonTooLarge, Split: true, Err: said}
	case credentials:
		return &sink.Paused{Cause: sink.CauseCredentials, After: after,
			Err: fmt.Errorf("%w; check the credentials and their permissions", said)}
	case target:
		return &sink.Paused{Cause: sink.CauseTarget, After: after, Err: said}
	}
	cause := sink.CauseAddress
	if m == redirect {
		cause = sink.CauseRedirect
	}
	return &sink.Paused{Cause: cause, After: after,
		Err: fmt.Errorf("%w; check the region and the endpoint", said)}
}

// Code returns the code of the service's error in err, such as NoSuchKey, or "".
func Code(err error) string { return client.Code(err) }

// response returns the status and the header of the answer that an error is about, 0 if
// there was none.
func response(err error) (int, http.Header) {
	var r *smithyhttp.ResponseError
	if errors.As(err, &r) && r.Response != nil && r.Response.Response != nil {
		return r.Response.StatusCode, r.Response.Header
	}
	return 0, nil
}
