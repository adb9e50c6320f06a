"""A SAML identity provider by pysaml2 and xmlsec1, which share no line with ours or with samlp.

Reads one JSON object a line: {sp_metadata, request, sign_response, sign_assertion, encrypt, login}, encrypt
being the end of an algorithm's name or empty, where request is the
query of a redirect (SAMLRequest, SigAlg, ...). Writes one a line: {metadata} at first, then {response, in_response_to}.
Arguments: PEM key, PEM certificate, a folder for scratch files.
"""
import base64
import json
import logging
import os
import sys
from urllib.parse import parse_qs

from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2 import sigver
from saml2.saml import NAMEID_FORMAT_PERSISTENT, NameID
from saml2.server import Server
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT

logging.disable(logging.CRITICAL)
key, certificate, folder = sys.argv[1:4]
base = "https://pysaml2.test"


def config(sp_metadata):
    settings = {
        "entityid": base + "/idp",
        "key_file": key,
        "cert_file": certificate,
        "encryption_keypairs": [{"key_file": key, "cert_file": certificate}],
        "service": {
            "idp": {
                "name": "pysaml2",
                "endpoints": {"single_sign_on_service": [(base + "/sso", BINDING_HTTP_REDIRECT)]},
                "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None,
                                       "name_form": "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"}},
                "want_authn_requests_signed": True,
            }
        },
        "metadata": {"inline": [sp_metadata]} if sp_metadata else {},
    }
    return IdPConfig().load(settings)


def choose_cipher(name):
    # pysaml2 has no setting for it: triple DES is written into defaults.
    gcm = "http://www.w3.org/2009/xmlenc11#" if name.endswith("gcm") else "http://www.w3.org/2001/04/xmlenc#"
    sigver.pre_encryption_part.__kwdefaults__["msg_enc"] = gcm + name
    session_key = {"aes128": "aes-128", "aes256": "aes-256", "triple": "des-192"}[name[:6]]
    sigver.SecurityContext.encrypt_assertion.__defaults__ = (session_key, None)


def answer(asked):
    if asked["encrypt"]:
        choose_cipher(asked["encrypt"])
    server = Server(config=config(asked["sp_metadata"]))
    query = {name: values[0] for name, values in parse_qs(asked["request"]).items()}
    request = server.parse_authn_request(
        query["SAMLRequest"], BINDING_HTTP_REDIRECT,
        relay_state=query.get("RelayState"), sigalg=query.get("SigAlg"), signature=query.get("Signature"),
    )
    where = server.response_args(request.message)
    response = server.create_authn_response(
        identity={"groups": ["sre", "on call"], "displayName": "Ålice <&> O'Neil", "email": "alice@corp.example"},
        userid=asked["login"],
        name_id=NameID(format=NAMEID_FORMAT_PERSISTENT, text=asked["login"]),
        in_response_to=where["in_response_to"],
        destination=where["destination"],
        sp_entity_id=where["sp_entity_id"],
        authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": base},
        sign_response=asked["sign_response"],
        sign_assertion=asked["sign_assertion"],
        encrypt_assertion=bool(asked["encrypt"]),
        encrypt_assertion_self_contained=True,
        sign_alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        digest_alg="http://www.w3.org/2001/04/xmlenc#sha256",
    )
    return {"response": base64.b64encode(str(response).encode()).decode(), "in_response_to": where["in_response_to"]}


os.chdir(folder)
print(json.dumps({"metadata": str(entity_descriptor(config(None)))}), flush=True)
for line in sys.stdin:
    try:
        print(json.dumps(answer(json.loads(line))), flush=True)
    except Exception as error:  # the test shows it
        print(json.dumps({"error": repr(error)}), flush=True)
