"""Mail as bytes: headers that nothing from outside breaks out of, text and HTML, encrypted where that is wanted."""

from __future__ import annotations

import base64
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from backupd.model.notice_orders import Letter
from backupd.operations.notices.certificates import encrypted, load
from backupd.operations.notices.page import html_of
from backupd.operations.notices.wording import text_of
from backupd.rules.notice_rules import shown

_POLICY = policy.SMTP.clone(cte_type="7bit")
_MOST_SUBJECT = 200
_LINE = 76


def message_of(letter: Letter, sender: str, now: datetime) -> bytes:
    """The whole message, lines ending in CR LF, all of it ASCII. now: aware.

    Raises UsageError where it is to be encrypted and can't be: it is never sent in the clear instead.
    """
    content = letter.content
    entity = _entity(letter)
    if letter.certificate is None:
        message = entity
        subject = content.title
    else:
        message = _enveloped(encrypted(entity.as_bytes(policy=_POLICY), load(letter.certificate)))
        subject = f"backupd on {content.host}: encrypted notice"
    user, _, domain = sender.rpartition("@")
    message["Subject"] = shown(subject, _MOST_SUBJECT)
    message["From"] = Address("backupd", user, domain)
    message["To"] = letter.recipient
    message["Date"] = format_datetime(now)
    message["Message-ID"] = letter.message_id
    message["Auto-Submitted"] = "auto-generated"
    message["X-Backupd-Event"] = content.event
    return message.as_bytes(policy=_POLICY)


def _entity(letter: Letter) -> EmailMessage:
    """Text, and the same as HTML; of what is encrypted the real subject is its first line."""
    text = text_of(letter.content)
    if letter.certificate is not None:
        text = f"{letter.content.title}\n\n{text}"
    message = EmailMessage(policy=_POLICY)
    message.set_content(text, cte="quoted-printable")
    message.add_alternative(html_of(letter.content), subtype="html", cte="quoted-printable")
    return message


def _enveloped(der: bytes) -> EmailMessage:
    message = EmailMessage(policy=_POLICY)
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = 'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"'
    message["Content-Disposition"] = 'attachment; filename="smime.p7m"'
    message["Content-Transfer-Encoding"] = "base64"
    text = base64.b64encode(der).decode()
    message.set_payload("\r\n".join(text[at : at + _LINE] for at in range(0, len(text), _LINE)) + "\r\n")
    return message
