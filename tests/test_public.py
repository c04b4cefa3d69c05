import optnas


def test_the_public_surface_is_what_init_lists():
    assert optnas.__all__ == sorted(optnas.__all__)
    for name in optnas.__all__:
        assert getattr(optnas, name).__doc__, name
