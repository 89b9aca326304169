"""The difference of two documents, line by line."""

from rotation_role_policy.iam.difference import difference

STATEMENTS = [{"Effect": "Allow", "Action": f"iam:{name}", "Resource": "*"} for name in "ABC"]


def test_the_difference_has_four_lines_around_a_change() -> None:
    before = {"Version": "2012-10-17", "Statement": STATEMENTS}
    after = {"Version": "2012-10-17", "Statement": [STATEMENTS[0], STATEMENTS[1] | {"Action": "iam:X"}, STATEMENTS[2]]}
    assert difference(before, after) == (
        "@@ -7,9 +7,9 @@",
        '       "Resource": "*"',
        "     },",
        "     {",
        '       "Effect": "Allow",',
        '-      "Action": "iam:B",',
        '+      "Action": "iam:X",',
        '       "Resource": "*"',
        "     },",
        "     {",
        '       "Effect": "Allow",',
    )


def test_other_members_stand_before_the_statements() -> None:
    found = difference({"Statement": [], "Id": "a"}, {"Statement": [], "Id": "b"})
    assert found == ("@@ -1,4 +1,4 @@", " {", '-  "Id": "a",', '+  "Id": "b",', '   "Statement": []', " }")


def test_equal_documents_have_no_difference() -> None:
    assert difference({"Statement": STATEMENTS[0]}, {"Statement": STATEMENTS[:1]}) == ()
    assert difference({}, {"Statement": []}) == ()
