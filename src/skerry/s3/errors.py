"""Errors as S3 tells them: the domain's codes, the ones of AWS, and their statuses. Pure."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

from skerry.base import (
    Conflict,
    Denied,
    Invalid,
    LimitReached,
    NotAvailable,
    NotBuilt,
    NotFound,
    SkerryError,
    TooLarge,
    Unauthorized,
)


@dataclass(frozen=True, slots=True)
class Told:
    """What a client gets: AWS's code, the status."""

    code: str
    status: int


_TOLD = {
    "bad_bucket_name": Told("InvalidBucketName", 400),
    "no_such_bucket": Told("NoSuchBucket", 404),
    "bucket_exists": Told("BucketAlreadyExists", 409),
    "bucket_is_yours": Told("BucketAlreadyOwnedByYou", 409),
    "bucket_not_empty": Told("BucketNotEmpty", 409),
    "too_many_buckets": Told("TooManyBuckets", 400),
    "no_such_key": Told("NoSuchKey", 404),
    "no_such_version": Told("NoSuchVersion", 404),
    "no_such_upload": Told("NoSuchUpload", 404),
    "is_marker": Told("MethodNotAllowed", 405),
    "key_too_long": Told("KeyTooLongError", 400),
    "bad_key": Told("InvalidArgument", 400),
    "condition_failed": Told("PreconditionFailed", 412),
    "version_locked": Told("AccessDenied", 403),
    "bad_part": Told("InvalidPart", 400),
    "bad_part_order": Told("InvalidPartOrder", 400),
    "bad_part_number": Told("InvalidArgument", 400),
    "part_too_small": Told("EntityTooSmall", 400),
    "too_large": Told("EntityTooLarge", 400),
    "bad_digest": Told("BadDigest", 400),
    "bad_md5": Told("InvalidDigest", 400),
    "content_mismatch": Told("XAmzContentSHA256Mismatch", 400),
    "bad_checksum": Told("InvalidRequest", 400),
    "no_length": Told("MissingContentLength", 411),
    "body_size": Told("IncompleteBody", 400),
    "bad_chunk": Told("InvalidRequest", 400),
    "bad_range": Told("InvalidRange", 416),
    "no_such_part": Told("InvalidPartNumber", 416),
    "part_and_range": Told("InvalidRequest", 400),
    "bad_xml": Told("MalformedXML", 400),
    "bad_authorization": Told("AuthorizationHeaderMalformed", 400),
    "bad_query_authorization": Told("AuthorizationQueryParametersError", 400),
    "no_content_sha256": Told("InvalidRequest", 400),
    "bad_content_sha256": Told("InvalidArgument", 400),
    "no_date": Told("AccessDenied", 403),
    "no_such_access_key": Told("InvalidAccessKeyId", 403),
    "signature_mismatch": Told("SignatureDoesNotMatch", 403),
    "unsigned_header": Told("AccessDenied", 403),
    "clock_skew": Told("RequestTimeTooSkewed", 403),
    "session_expired": Told("ExpiredToken", 400),
    "bad_session_token": Told("InvalidToken", 400),
    "request_expired": Told("AccessDenied", 403),
    "access_denied": Told("AccessDenied", 403),
    "bad_policy": Told("MalformedPolicy", 400),
    "no_form": Told("PreconditionFailed", 412),
    "bad_form": Told("MalformedPOSTRequest", 400),
    "no_file": Told("IncorrectNumberOfFilesInPostRequest", 400),
    "form_too_large": Told("MaxPostPreDataLengthExceededError", 400),
    "bad_form_policy": Told("InvalidPolicyDocument", 400),
    "form_refused": Told("AccessDenied", 403),
    "public_policy": Told("AccessDenied", 403),
    "method_not_allowed": Told("MethodNotAllowed", 405),
    "slow_down": Told("SlowDown", 503),
    "request_timeout": Told("RequestTimeout", 400),
    "data_full": Told("InsufficientStorage", 507),
    "bad_copy": Told("InvalidRequest", 400),
    "bad_copy_source": Told("InvalidArgument", 400),
    "bad_storage_class": Told("InvalidStorageClass", 400),
    "metadata_too_large": Told("MetadataTooLarge", 400),
    "bad_redirect": Told("InvalidRedirectLocation", 400),
    "no_such_tags": Told("NoSuchTagSet", 404),
    "bad_tags": Told("InvalidTag", 400),
    "no_acl": Told("AccessControlListNotSupported", 400),
    "no_such_cors": Told("NoSuchCORSConfiguration", 404),
    "no_such_policy": Told("NoSuchBucketPolicy", 404),
    "no_such_lifecycle": Told("NoSuchLifecycleConfiguration", 404),
    "no_such_encryption": Told("ServerSideEncryptionConfigurationNotFoundError", 404),
    "bad_encryption": Told("InvalidEncryptionAlgorithmError", 400),
    "bad_client_key": Told("InvalidArgument", 400),
    "key_needed": Told("InvalidRequest", 400),
    "key_not_needed": Told("InvalidRequest", 400),
    "other_key": Told("InvalidRequest", 400),
    "wrong_key": Told("AccessDenied", 403),
    "bad_cors": Told("InvalidRequest", 400),
    "bad_preflight": Told("BadRequest", 400),
    "cors_forbidden": Told("AccessForbidden", 403),
    "bad_website": Told("InvalidArgument", 400),
    "no_such_quota": Told("NoSuchQuotaConfiguration", 404),
    "quota_exceeded": Told("QuotaExceeded", 403),
    "no_such_website": Told("NoSuchWebsiteConfiguration", 404),
    "no_such_replication": Told("ReplicationConfigurationNotFoundError", 404),
    "no_such_access_block": Told("NoSuchPublicAccessBlockConfiguration", 404),
    "no_such_lock": Told("ObjectLockConfigurationNotFoundError", 404),
    "no_lock_of_version": Told("NoSuchObjectLockConfiguration", 404),
    "no_lock": Told("InvalidRequest", 400),
    "bad_retention": Told("InvalidArgument", 400),
    "bad_period": Told("InvalidArgument", 400),
    "bucket_state": Told("InvalidBucketState", 409),
    "bucket_has_lock": Told("InvalidBucketState", 409),
}
_BY_KIND: tuple[tuple[type[SkerryError], Told], ...] = (
    (Invalid, Told("InvalidArgument", 400)),
    (Unauthorized, Told("AccessDenied", 403)),
    (Denied, Told("AccessDenied", 403)),
    (NotFound, Told("NoSuchKey", 404)),
    (Conflict, Told("OperationAborted", 409)),
    (TooLarge, Told("EntityTooLarge", 400)),
    (LimitReached, Told("SlowDown", 503)),
    (NotAvailable, Told("ServiceUnavailable", 503)),
    (NotBuilt, Told("NotImplemented", 501)),
)


def told(error: SkerryError) -> Told:
    """Return what a client gets for an error."""
    known = _TOLD.get(error.code)
    if known is not None:
        return known
    return next((each for kind, each in _BY_KIND if isinstance(error, kind)), INTERNAL)


_IAM_TOLD = {
    "no_such_access_key": Told("InvalidClientTokenId", 403),
    "bad_session_token": Told("InvalidClientTokenId", 403),
    "session_expired": Told("ExpiredToken", 403),
    "clock_skew": Told("SignatureDoesNotMatch", 403),
    "no_such_user": Told("NoSuchEntity", 404),
    "no_such_key_id": Told("NoSuchEntity", 404),
    "no_such_user_policy": Told("NoSuchEntity", 404),
    "user_exists": Told("EntityAlreadyExists", 409),
    "user_in_use": Told("DeleteConflict", 409),
    "too_many_users": Told("LimitExceeded", 409),
    "too_many_keys": Told("LimitExceeded", 409),
    "too_many_policies": Told("LimitExceeded", 409),
    "bad_policy": Told("MalformedPolicyDocument", 400),
    "policy_too_large": Told("PackedPolicyTooLarge", 400),
    "no_such_action": Told("InvalidAction", 400),
    "bad_argument": Told("ValidationError", 400),
    "bad_lifetime": Told("ValidationError", 400),
    "bad_session_name": Told("ValidationError", 400),
    "bad_user_name": Told("ValidationError", 400),
    "bad_policy_name": Told("ValidationError", 400),
    "document_too_large": Told("RequestEntityTooLarge", 413),
}


def iam_told(error: SkerryError) -> Told:
    """Return what a client of IAM or STS gets for an error."""
    return _IAM_TOLD.get(error.code) or told(error)


def error_headers(error: SkerryError) -> list[tuple[str, str]]:
    """Return the headers of an error: of a delete marker in the way, AWS tells so."""
    if "marker" not in error.details:
        return []
    headers = [("x-amz-delete-marker", "true"), ("x-amz-version-id", str(error.details["marker"]))]
    if "modified" in error.details:
        headers += [("Last-Modified", str(error.details["modified"])), ("Allow", "DELETE")]
    return headers


INTERNAL = Told("InternalError", 500)


def error_body(code: str, message: str, resource: str, request_id: str) -> bytes:
    """Return the XML document of an error."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{xml_text(message)}</Message>"
        f"<Resource>{xml_text(resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
    ).encode("utf-8", "replace")  # JSON may name what no text has


def xml_text(text: str) -> str:
    """Return text as it stands in XML: control characters as AWS writes them, though XML has none."""
    if text.isprintable():
        return escape(text)
    return "".join(f"&#x{ord(each):x};" if each < " " else escape(each) for each in text)
